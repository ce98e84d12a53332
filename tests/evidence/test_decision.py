"""Two accounts for each metric, one verdict for all: what holds whatever the counts are."""

import math
from dataclasses import replace
from itertools import accumulate, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evidence.cells import Cells
from evidence.decision import (
    CONTRADICTION,
    Alphas,
    Extra,
    Question,
    Standing,
    Verdict,
    harm_budget,
    judge,
    overall,
    split_alpha,
)
from evidence.domain import InputError
from evidence.effects import Arms, Difference, Ratio
from evidence.paired import PairedDifference, Pairs
from evidence.results import Side
from evidence.risks import EventShare
from evidence.sequences import Epoch, bound, log_e, log_e_late
from tests.evidence.statistics import EVERY

ALPHAS = split_alpha(guardrails=2)
ARMS = Arms(pi=0.5, centre=0.1, sd=0.3)
RATE = Difference(ARMS)
QUESTION = Question(limit=0.02)
NOTHING = np.zeros((2, 2), dtype=np.int64)

VERDICTS = st.sampled_from(Verdict)


def counts(shape, most=2_000):
    return arrays(np.int64, shape, elements=st.integers(0, most))


def rates(champion: float, challenger: float, n: int = 10_000) -> np.ndarray:
    """Counts of two arms of `n` units each with these shares of bad ones."""
    bad = np.array([round(n * champion), round(n * challenger)])
    return np.stack([n - bad, bad], axis=-1)


def judged(*epochs, question=QUESTION, alphas=ALPHAS, **given):
    return judge(question, alphas, [[Epoch(RATE, each) for each in epochs]], **given)


def told(found):
    """All that a judgement says, with its numbers."""
    return found.verdict, found.standing, found.safe.log_e, found.harm.log_e


# Harm is latched, safe is not.


@given(st.lists(counts((2, 2), most=300), min_size=1, max_size=6), st.data())
def test_harm_once_declared_stands_whatever_comes_after(panes, data):
    looks = list(accumulate(panes))
    peak, seen = -math.inf, []
    for look in looks:
        invalid = data.draw(st.sampled_from([(), ("sample ratio",)]))
        found = judged(look, peak=peak, invalid=invalid)
        assert found.peak == max(peak, found.harm.log_e)
        peak = found.peak
        seen.append(found.verdict)

    if Verdict.HARM in seen:
        assert set(seen[seen.index(Verdict.HARM) :]) == {Verdict.HARM}


@given(counts((2, 2), most=300), st.floats(2.0, 5.0))
def test_harm_is_latched_at_its_own_level(cells, peak):
    found = judged(cells, peak=peak)

    highest = max(peak, found.harm.log_e)
    assert found.peak == highest
    assert (found.verdict is Verdict.HARM) == (highest >= -math.log(ALPHAS.harm))


def test_a_version_that_was_harmful_does_not_argue_itself_back():
    bad, good = rates(0.1, 0.2), rates(0.1, 0.1, n=1_000_000)
    before = judged(bad)

    after = judged(bad + good, peak=before.peak)

    assert before.verdict is after.verdict is Verdict.HARM
    assert not after.harm.rejects
    assert after.safe.rejects
    assert judged(bad + good).verdict is Verdict.SAFE


def test_a_version_that_was_safe_can_lose_that_standing():
    good = rates(0.1, 0.1)

    assert judged(good).verdict is Verdict.SAFE
    assert judged(good + rates(0.1, 0.16, n=2_000)).verdict is Verdict.UNDECIDED


def test_harm_outranks_doubts_about_the_data_and_doubts_outrank_the_rest():
    doubts = ("sample ratio",)

    for cells, verdict in (
        (rates(0.1, 0.2), Verdict.HARM),
        (rates(0.1, 0.1), Verdict.INVALID),
        (NOTHING, Verdict.INVALID),
    ):
        found = judged(cells, invalid=doubts)

        assert (found.verdict, found.reasons) == (verdict, doubts)


@given(counts((2, 2)), counts((2, 2)))
def test_the_accounts_are_those_of_the_page(first, second):
    epochs = [Epoch(RATE, first), Epoch(RATE, second)]

    found = judged(first, second)

    held = [float(log_e(epochs, 0.02, Side.BELOW)), float(log_e_late(epochs, 0.02, Side.ABOVE))]
    assert [found.safe.log_e, found.harm.log_e] == [min(max(e, -700), 700) for e in held]
    assert (found.safe.alpha, found.harm.alpha) == (ALPHAS.safe, ALPHAS.harm)


@given(st.lists(counts((2, 2)), min_size=1, max_size=3))
def test_an_account_rejects_the_limit_just_when_its_bound_has_passed_it(epochs):
    found = judged(*epochs)

    for evidence in (found.safe, found.harm):
        if abs(evidence.log_e + math.log(evidence.alpha)) > 1e-3:
            allowed = evidence.interval is not None and QUESTION.limit in evidence.interval

            assert evidence.rejects == (not allowed)


# Mirrors: arms, sides, units.


@given(counts((2, 2)), st.floats(-0.1, 0.1), st.sampled_from(Side))
def test_a_difference_seen_from_the_other_arm_has_the_same_verdict(cells, limit, harm):
    here = Difference(replace(ARMS, pi=0.2))
    there = Difference(replace(ARMS, pi=0.8))

    one = judge(Question(limit=limit, harm=harm), ALPHAS, [[Epoch(here, cells)]])
    other = judge(Question(limit=-limit, harm=harm.other), ALPHAS, [[Epoch(there, cells[::-1])]])

    assert_same(one, other)


@given(counts((2, 3), most=200), st.floats(0.5, 2.0), st.sampled_from(Side))
def test_a_ratio_seen_from_the_other_arm_has_the_same_verdict(cells, limit, harm):
    arms = Arms(levels=(0.0, 1.0, 4.0), pi=0.2, centre=0.5, sd=1.2)
    here, there = Ratio(arms), Ratio(replace(arms, pi=0.8, centre=0.5 * limit))

    one = judge(Question(limit=limit, harm=harm, equal=1.0), ALPHAS, [[Epoch(here, cells)]])
    mirrored = Question(limit=1 / limit, harm=harm.other, equal=1.0)
    other = judge(mirrored, ALPHAS, [[Epoch(there, cells[::-1])]])

    # Their intervals are those of different centres; at the limit the two are one test.
    assert (other.safe.log_e, other.harm.log_e) == pytest.approx(
        (one.safe.log_e, one.harm.log_e), rel=1e-9, abs=1e-9
    )
    assert one.verdict is other.verdict


@given(counts((2,)), st.floats(0.5, 2.0), st.sampled_from(Side))
def test_an_event_share_seen_from_the_other_arm_has_the_same_verdict(cells, limit, harm):
    one = judge(
        Question(limit=limit, harm=harm, equal=1.0), ALPHAS, [[Epoch(EventShare(pi=0.2), cells)]]
    )
    other = judge(
        Question(limit=1 / limit, harm=harm.other, equal=1.0),
        ALPHAS,
        [[Epoch(EventShare(pi=0.8), cells[::-1])]],
    )

    assert_same(one, other)


@given(counts((1, 5), most=500), st.floats(-0.05, 0.05), st.sampled_from(Side))
def test_pairs_with_the_roles_exchanged_have_the_same_verdict(cells, limit, harm):
    test = PairedDifference(Pairs(sigma0=0.3))

    one = judge(Question(limit=limit, harm=harm), ALPHAS, [[Epoch(test, cells)]])
    exchanged = Question(limit=-limit, harm=harm.other)
    other = judge(exchanged, ALPHAS, [[Epoch(test, cells[:, [1, 0, 2, 3, 4]])]])

    assert_same(one, other)


def assert_same(one, other):
    assert (other.verdict, other.standing) == (one.verdict, one.standing)
    assert told(other)[2:] == pytest.approx(told(one)[2:], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("clear", [rates(0.1, 0.2), rates(0.2, 0.1)], ids=["worse", "better"])
def test_exchanging_the_arms_flips_the_verdict(clear):
    question = Question(limit=0.0)

    verdicts = {judged(each, question=question).verdict for each in (clear, clear[::-1])}

    assert verdicts == {Verdict.HARM, Verdict.SAFE}


@pytest.mark.parametrize("kind", [Difference, Ratio])
@pytest.mark.parametrize("scale", [1e-6, 1e6])
@given(cells=counts((2, 4), most=500), harm=st.sampled_from(Side))
def test_the_unit_of_a_metric_does_not_matter(kind, scale, cells, harm):
    arms = Arms(levels=(0.0, 1.0, 2.5, 7.0), pi=0.2, centre=0.5, sd=1.4)
    scaled = replace(
        arms,
        levels=tuple(scale * y for y in arms.levels),
        centre=scale * arms.centre,
        sd=scale * arms.sd,
    )
    limit, equal = (0.2, 0.0) if kind is Difference else (1.2, 1.0)
    question = Question(limit=limit, harm=harm, equal=equal)
    there = replace(question, limit=scale * limit) if kind is Difference else question

    one = judge(question, ALPHAS, [[Epoch(kind(arms), cells)]])
    other = judge(there, ALPHAS, [[Epoch(kind(scaled), cells)]])

    assert_same(one, other)
    factor = scale if kind is Difference else 1.0
    for account in ("safe", "harm"):
        was, now = getattr(one, account).interval, getattr(other, account).interval
        assert (was is None) == (now is None)
        if was is None:
            continue
        assert (now.lower, now.upper) == pytest.approx(
            (factor * was.lower, factor * was.upper), rel=1e-4, abs=1e-6 * factor
        )


# No data is never safe.


@pytest.mark.parametrize("name", sorted(EVERY))
@pytest.mark.parametrize("harm", Side)
def test_a_metric_without_data_has_none_and_is_never_safe(name, harm):
    statistic, effect, _ = EVERY[name]
    question = Question(limit=effect, harm=harm)

    for empty in (Cells(), np.zeros(statistic.shape, dtype=np.int64)):
        found = judge(question, ALPHAS, [[Epoch(statistic, empty)] * 2])

        assert (found.verdict, found.standing) == (Verdict.NO_DATA, Standing.OPEN)
        assert (found.safe.n, found.safe.estimate) == (0, None)
        assert found.interval == statistic.effects
        assert overall({"empty": found.verdict, "good": Verdict.SAFE}, []) is Verdict.NO_DATA


# Periods.

PERIODIC = replace(QUESTION, periodic=True)


@given(st.lists(counts((2, 2)), min_size=1, max_size=4))
def test_each_period_has_its_own_account_of_harm_and_safe_reads_the_first(periods):
    found = judge(PERIODIC, ALPHAS, [[Epoch(RATE, each)] for each in periods])

    alone = [
        float(log_e_late([Epoch(RATE, each)], QUESTION.limit, Side.ABOVE)) - math.log(k * (k + 1))
        for k, each in enumerate(periods, 1)
    ]
    assert found.harm.log_e == pytest.approx(min(max(alone), 700), abs=1e-9)
    assert found.safe == judged(periods[0]).safe
    ends = [
        bound(
            [Epoch(RATE, each)],
            Side.ABOVE,
            alpha=ALPHAS.harm / (k * (k + 1)),
            account=log_e_late,
        )
        for k, each in enumerate(periods, 1)
    ]
    interval = found.harm.interval
    assert (math.inf if interval is None else interval.lower) == max(ends)


def test_harm_in_a_later_period_is_harm_though_the_first_is_safe():
    good, bad = [Epoch(RATE, rates(0.1, 0.1))], [Epoch(RATE, rates(0.1, 0.2))]

    assert judge(PERIODIC, ALPHAS, [good]).verdict is Verdict.SAFE
    assert judge(PERIODIC, ALPHAS, [good, good, bad]).verdict is Verdict.HARM


def test_all_periods_together_spend_alpha_once():
    spent = sum(PERIODIC.share(k) for k in range(1, 10_000))

    assert 0.999 < spent < 1
    assert [PERIODIC.share(k) for k in (1, 2, 3)] == [1 / 2, 1 / 6, 1 / 12]
    assert QUESTION.share(1) == 1.0


# Label errors.


@given(counts((2, 2)), st.floats(0.0, 0.02))
def test_a_shrunk_margin_makes_safe_harder_and_leaves_harm_alone(cells, safe_limit):
    plain = judged(cells)
    shrunk = judged(cells, question=replace(QUESTION, safe_limit=safe_limit))

    assert shrunk.harm == plain.harm
    at_safe_limit = float(log_e([Epoch(RATE, cells)], safe_limit, Side.BELOW))
    assert shrunk.safe.log_e == min(max(at_safe_limit, -700), 700) <= plain.safe.log_e + 1e-9
    assert replace(QUESTION, safe_limit=safe_limit).to_exclude == safe_limit
    assert QUESTION.to_exclude == QUESTION.limit


# Standings, by hand: two arms of equal size, errors of 10 %, a margin of two points.


@pytest.mark.parametrize(
    ("challenger", "n", "verdict", "standing"),
    [
        (0.08, 20_000, Verdict.SAFE, Standing.BETTER),
        (0.10, 20_000, Verdict.SAFE, Standing.WITHIN),
        (0.11, 100_000, Verdict.SAFE, Standing.WORSE_WITHIN),
        (0.12, 20_000, Verdict.UNDECIDED, Standing.WORSE),
        (0.14, 20_000, Verdict.HARM, Standing.BEYOND),
        (0.11, 500, Verdict.UNDECIDED, Standing.OPEN),
    ],
)
def test_where_the_interval_lies_is_said_beside_the_verdict(challenger, n, verdict, standing):
    found = judged(rates(0.1, challenger, n))

    assert (found.verdict, found.standing) == (verdict, standing)
    assert found.safe.estimate == pytest.approx(challenger - 0.1)
    assert found.safe.estimate in found.interval


def test_a_ceiling_knows_no_better_and_no_worse():
    ceiling = EVERY["a ceiling"].statistic
    question = Question(limit=0.08, equal=None)

    few, many = (
        judge(question, ALPHAS, [[Epoch(ceiling, cells)]]).standing
        for cells in ([[95, 5], [9_500, 500]])
    )

    assert (few, many) == (Standing.OPEN, Standing.WITHIN)


def test_an_effect_that_moved_has_no_interval():
    found = judged(rates(0.3, 0.1, n=40_000), rates(0.1, 0.3))

    assert found.verdict is Verdict.HARM
    assert found.interval is None


def test_a_version_that_became_worse_within_its_margin_is_not_told_as_better():
    found = judged(rates(0.3, 0.1, n=40_000), rates(0.1, 0.11, n=100_000))

    assert found.safe.interval.upper < 0 < found.harm.interval.lower < QUESTION.limit
    assert (found.verdict, found.standing) == (Verdict.SAFE, Standing.WORSE_WITHIN)


# Alpha is spent once.


@given(
    guardrails=st.integers(1, 20),
    alpha=st.floats(0.001, 0.5),
    protected=st.integers(0, 20),
    paths=st.integers(1, 2),
    challengers=st.integers(1, 10),
)
def test_the_parts_of_alpha_add_to_alpha(guardrails, alpha, protected, paths, challengers):
    given = {"protected": protected, "paths": paths, "challengers": challengers}
    found = split_alpha(guardrails=guardrails, alpha=alpha, **given)

    assert found.harm * guardrails * (1 + protected) * paths == pytest.approx(alpha)
    assert found.safe * challengers == pytest.approx(alpha)


def test_all_attempts_together_spend_alpha_once():
    attempts = [split_alpha(guardrails=3, attempt=a) for a in range(1, 2_000)]

    assert attempts[0] == Alphas(safe=0.025, harm=0.025 / 3)
    assert 0.0499 < sum(each.safe for each in attempts) < 0.05
    assert sum(each.harm for each in attempts) < 0.05 / 3


# All metrics.


@given(
    st.dictionaries(st.text(max_size=3), VERDICTS, min_size=1, max_size=5),
    st.data(),
)
def test_any_guardrail_can_roll_back_and_every_metric_must_be_safe(verdicts, data):
    guardrails = data.draw(st.lists(st.sampled_from(sorted(verdicts)), unique=True))

    found = overall(verdicts, guardrails)

    assert (found is Verdict.HARM) == any(verdicts[name] is Verdict.HARM for name in guardrails)
    assert (found is Verdict.SAFE) == all(each is Verdict.SAFE for each in verdicts.values())
    shuffled = data.draw(st.permutations(sorted(verdicts)))
    assert overall({name: verdicts[name] for name in shuffled}, guardrails[::-1]) is found


def test_of_two_metrics_the_graver_verdict_stands():
    ranks = [Verdict.HARM, Verdict.INVALID, Verdict.NO_DATA, Verdict.UNDECIDED, Verdict.SAFE]

    for one, other in product(ranks, ranks):
        graver = min(one, other, key=ranks.index)

        assert overall({"one": one, "other": other}, ["one", "other"]) is graver


def test_harm_to_a_metric_that_is_no_guardrail_holds_but_does_not_roll_back():
    verdicts = {"errors": Verdict.SAFE, "clicks": Verdict.HARM}

    assert overall(verdicts, ["errors"]) is Verdict.UNDECIDED


# Harm budget.


@given(st.integers(1, 2_000), st.floats(0, 1), st.floats(0, 1), st.integers(0, 10**6))
def test_the_budget_runs_from_what_is_proven_to_what_is_possible(n, p, q, exposed):
    found = judged(rates(p, q, n))

    extra = harm_budget(found, exposed)

    proven, possible = found.harm.interval.lower, found.safe.interval.upper
    assert 0 <= extra.least <= extra.most <= exposed
    assert extra.least == max(0.0, exposed * proven)
    assert extra.estimate == max(0.0, exposed * found.harm.estimate)
    assert extra.most == max(0.0, exposed * possible, exposed * proven)


def test_a_version_that_is_better_costs_nothing():
    found = harm_budget(judged(rates(0.2, 0.1)), exposed=10_000)

    assert found == Extra(least=0.0, estimate=0.0, most=0.0)


# What is refused.


@pytest.mark.parametrize(
    ("wrong", "argument"),
    [
        (lambda: Question(limit=math.nan), "limit"),
        (lambda: Question(limit=math.inf), "limit"),
        (lambda: Question(limit=0.01, safe_limit=math.nan), "safe_limit"),
        (lambda: Question(limit=0.01, safe_limit=0.02), "safe_limit"),
        (lambda: Question(limit=-0.01, harm=Side.BELOW, safe_limit=-0.02), "safe_limit"),
        (lambda: Alphas(safe=0.0, harm=0.05), "safe"),
        (lambda: Alphas(safe=0.05, harm=1.0), "harm"),
        (lambda: split_alpha(guardrails=0), "guardrails"),
        (lambda: split_alpha(guardrails=1, alpha=1.0), "alpha"),
        (lambda: split_alpha(guardrails=1, protected=-1), "protected"),
        (lambda: split_alpha(guardrails=1, paths=0), "paths"),
        (lambda: split_alpha(guardrails=1, challengers=0), "challengers"),
        (lambda: split_alpha(guardrails=1, attempt=0), "attempt"),
        (lambda: judge(QUESTION, ALPHAS, []), "periods"),
        (lambda: judge(QUESTION, ALPHAS, [[Epoch(RATE, NOTHING)]] * 2), "periods"),
        (lambda: judge(QUESTION, ALPHAS, [[]]), "epochs"),
        (lambda: overall({}, []), "guardrails"),
        (lambda: overall({"errors": Verdict.SAFE}, ["latency"]), "guardrails"),
        (lambda: harm_budget(judged(NOTHING), 10), "found"),
        (lambda: harm_budget(judged(rates(0.1, 0.1)), -1), "exposed"),
    ],
)
def test_what_cannot_be_judged_is_refused_by_name(wrong, argument):
    with pytest.raises(InputError) as refused:
        wrong()

    assert refused.value.argument == argument


def test_counts_that_no_effect_explains_are_invalid_and_never_safe():
    """One unit of the challenger among 37 under a fair split, as if the split were broken."""
    found = judge(Question(limit=0.01), ALPHAS, [[Epoch(RATE, [[0, 36], [1, 0]])]])

    assert found.verdict is Verdict.INVALID
    assert found.reasons == (CONTRADICTION,)
    assert found.interval is None
    with pytest.raises(InputError, match="must have an estimate and an interval"):
        harm_budget(found, exposed=10)
