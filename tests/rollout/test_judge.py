"""What frozen totals prove, and that anybody can compute it again."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.decision import Verdict
from evidence.forms import Form
from rollout.cells import EVERYWHERE, SPLIT, decoded, encoded
from rollout.counted import Side
from rollout.judge import Record, judge, recompute
from rollout.looks import Look
from tests.rollout.counting import epochs

SHADOW, CANARY = epochs(expects_pairs=False)
PI = 0.3 / 0.8


def named(epoch, name):
    return next((no, m) for no, m in enumerate(epoch.metrics) if m.name == name)


def arms(epoch, name, champion, challengers, slot=EVERYWHERE):
    """{counter: totals} of a metric: the units at each level, of the champion and the others."""
    no, metric = named(epoch, name)
    half = [count // 2 for count in champion]
    rows = [half, [c - h for c, h in zip(champion, half, strict=True)], *challengers]
    wide = [row + [0] * (metric.columns - 1 - len(row)) for row in rows]
    return {epoch.what(no, slot): tuple(n for row in wide for n in (sum(row), *row))}


def pairs(epoch, name, *by_challenger, stratum=0):
    """{counter: totals} of a paired metric: enrolled, then B wrong, A wrong, both, equal."""
    no, metric = named(epoch, name)
    vector = np.zeros((metric.groups(2), metric.columns), np.int64)
    for k, cells in enumerate(by_challenger):
        vector[k * len(metric.q) + stratum, : len(cells)] = cells
    return {epoch.what(no, EVERYWHERE): tuple(vector.ravel().tolist())}


def split(epoch, *counts, misassigned=0, stale=0):
    return {epoch.split: (misassigned, stale, *[0] * (len(SPLIT) - 2), *counts)}


def look(totals, *, of=(CANARY,), peaks=None):
    return Look(epochs=of, totals=totals, peaks=peaks or {})


def verdict(record, name, arm="42", part=""):
    (found,) = [v for v in record.judged if (v.metric, v.arm, v.slice) == (name, arm, part)]
    return found


GOOD = split(CANARY, 5000, 3000, 2000)


def test_plans_are_read_back_as_they_were_written():
    assert [decoded(encoded(body)) for body in (SHADOW, CANARY)] == [SHADOW, CANARY]


def test_equal_arms_are_safe_and_neither_harm_nor_invalid():
    cells = arms(CANARY, "misses", [96_000, 4_000], [[57_600, 2_400], [38_400, 1_600]])

    found = verdict(judge(look(GOOD | cells)), "misses")

    assert found.verdict is Verdict.SAFE
    assert found.n == 160_000
    assert found.lower < 0 < found.upper < found.limit == 0.01


def test_a_worse_challenger_is_harm_and_the_other_is_not():
    cells = arms(CANARY, "misses", [9_600, 400], [[5_000, 1_000], [3_840, 160]])

    record = judge(look(GOOD | cells))

    assert verdict(record, "misses", "42").verdict is Verdict.HARM
    assert verdict(record, "misses", "43").verdict is not Verdict.HARM


def test_harm_stays_harm_at_the_next_look():
    bad = judge(look(GOOD | arms(CANARY, "misses", [9_600, 400], [[5_000, 1_000], [0, 0]])))
    good = arms(CANARY, "misses", [960_000, 40_000], [[576_000, 24_000], [0, 0]])

    after = judge(look(GOOD | good, peaks=bad.peaks))

    assert verdict(after, "misses").verdict is Verdict.HARM


def test_missing_errors_and_ratios_are_read_from_events_of_both_arms():
    cells = arms(CANARY, "errors", [49_000, 1_000], [[29_000, 1_500], [19_600, 400]])

    record = judge(look(GOOD | cells))

    assert verdict(record, "errors").estimate == pytest.approx(1.5 / PI * (1 - PI))
    assert verdict(record, "errors").verdict is Verdict.HARM


def test_what_is_better_when_high_is_harm_when_it_is_low():
    _, metric = named(CANARY, "tip")
    low, high = [0] * len(metric.levels), [0] * len(metric.levels)
    low[0], high[-1] = 6_000, 10_000
    cells = arms(CANARY, "tip", high, [low, high])

    record = judge(look(GOOD | cells))

    assert verdict(record, "tip", "42").verdict is Verdict.HARM
    assert verdict(record, "tip", "43").verdict is not Verdict.HARM


def test_a_ceiling_is_held_against_the_challenger_alone():
    within = pairs(SHADOW, "disagreement", [1000, 100, 0, 0, 900], [1000, 400, 0, 0, 600])

    record = judge(look(within, of=(SHADOW,)))

    assert verdict(record, "disagreement", "42").verdict is Verdict.SAFE
    assert verdict(record, "disagreement", "43").verdict is Verdict.HARM


def test_shadow_and_canary_are_one_account_of_errors():
    shadow = pairs(SHADOW, "errors", [5000, 60, 10, 0, 4930])
    canary = arms(CANARY, "errors", [4_990, 10], [[2_940, 60], [0, 0]])

    both = judge(look(GOOD | shadow | canary, of=(SHADOW, CANARY)))

    for one in (judge(look(shadow, of=(SHADOW,))), judge(look(GOOD | canary))):
        assert verdict(both, "errors").log_harm > verdict(one, "errors").log_harm


def test_unresolved_audits_of_disagreements_hurt_both_claims():
    known = pairs(SHADOW, "defects", [20_000, 10, 10, 0, 19_980], stratum=1)
    open_ = pairs(SHADOW, "defects", [20_000, 10, 10, 0, 19_480], stratum=1)

    settled, waiting = (
        verdict(judge(look(cells, of=(SHADOW,))), "defects") for cells in (known, open_)
    )

    assert waiting.log_safe < settled.log_safe
    assert waiting.log_harm <= settled.log_harm + 1e-9


def test_audits_of_agreements_say_nothing_of_a_difference_answered_or_not_and_however_rare():
    no, metric = named(SHADOW, "defects")
    rare = msgspec.structs.replace(metric, q=(0.01, *metric.q[1:]))
    metrics = [rare if k == no else each for k, each in enumerate(SHADOW.metrics)]
    rarely = msgspec.structs.replace(SHADOW, metrics=tuple(metrics))

    def found(epoch, agreed):
        vector = np.zeros((metric.groups(2), metric.columns), np.int64)
        vector[0], vector[1] = agreed, (3_000, 10, 60, 30, 900, 2_000)
        cells = {epoch.what(no, EVERYWHERE): tuple(vector.ravel().tolist())}
        return verdict(judge(look(cells, of=(epoch,))), "defects")

    plain = found(SHADOW, (40_000, 0, 0, 0, 0, 40_000))

    assert plain.verdict is Verdict.SAFE
    for epoch, agreed in (
        (SHADOW, (40_000, 0, 0, 90, 210, 39_700)),
        (SHADOW, (40_000, 0, 0, 0, 0, 39_700)),
        (rarely, (40_000, 0, 0, 0, 0, 40_000)),
    ):
        other = found(epoch, agreed)
        assert (other.log_safe, other.log_harm) == (plain.log_safe, plain.log_harm)
        assert other.estimate == pytest.approx(plain.estimate)


def test_outcomes_of_nobody_make_a_metric_invalid_and_leave_the_others():
    no, metric = named(CANARY, "missing")
    vector = np.zeros((metric.groups(2), metric.columns), np.int64)
    vector[0] = (5, 9, 0)
    cells = {CANARY.what(no, EVERYWHERE): tuple(vector.ravel().tolist())}

    record = judge(look(GOOD | cells))

    assert verdict(record, "missing").verdict is Verdict.INVALID
    assert verdict(record, "errors").verdict is Verdict.NO_DATA


@pytest.mark.parametrize(
    "counts", [split(CANARY, 5400, 2600, 2000), split(CANARY, 5000, 3000, 2000, misassigned=200),
               split(CANARY, 5000, 3000, 2000, stale=200)],
)  # fmt: skip
def test_a_broken_split_makes_what_compares_arms_invalid(counts):
    cells = arms(CANARY, "misses", [96_000, 4_000], [[57_600, 2_400], [38_400, 1_600]])

    record = judge(look(counts | cells))

    assert record.broken
    assert verdict(record, "misses").verdict is Verdict.INVALID


def test_labels_that_are_missing_more_in_one_arm_make_a_metric_invalid():
    no, metric = named(CANARY, "misses")
    cells = np.zeros((4, metric.columns), np.int64)
    cells[:, 0] = (2500, 2500, 3000, 2000)
    cells[:, 1] = (2450, 2450, 2600, 1960)

    record = judge(look(GOOD | {CANARY.what(no, EVERYWHERE): tuple(cells.ravel().tolist())}))

    assert verdict(record, "misses", "42").verdict is Verdict.INVALID
    assert verdict(record, "misses", "43").verdict is not Verdict.INVALID


def test_more_than_two_per_cent_of_corrected_labels_make_a_metric_invalid():
    no, metric = named(CANARY, "misses")
    cells = arms(CANARY, "misses", [9_600, 400], [[5_760, 240], [3_840, 160]])
    moves = np.zeros((metric.columns, metric.columns), np.int64)
    moves[1, 2] = 500

    record = judge(look(GOOD | cells | {CANARY.corrected(no): tuple(moves.ravel().tolist())}))

    assert verdict(record, "misses").verdict is Verdict.INVALID


def test_a_champion_that_differs_from_itself_says_that_the_judge_is_wrong():
    no, metric = named(CANARY, "misses")
    rows = np.zeros((4, metric.columns), np.int64)
    rows[:, 1:3] = [(2400, 100), (2000, 500), (2880, 120), (1920, 80)]
    rows[:, 0] = rows[:, 1:].sum(axis=1)

    record = judge(look(GOOD | {CANARY.what(no, EVERYWHERE): tuple(rows.ravel().tolist())}))

    assert record.self_checks["misses"] > 7
    assert verdict(record, "misses", "43").verdict is Verdict.INVALID


def test_protected_slices_are_judged_by_themselves():
    new = CANARY.slices[1]
    cells = arms(CANARY, "misses", [96_000, 4_000], [[57_600, 2_400], [38_400, 1_600]])
    bad = arms(CANARY, "misses", [960, 40], [[400, 200], [384, 16]], slot=new.slot)

    record = judge(look(GOOD | cells | bad))

    assert new.protected
    assert verdict(record, "misses").verdict is not Verdict.HARM
    assert verdict(record, "misses", part="new").verdict is Verdict.HARM


def test_extra_bad_outcomes_are_counted_for_the_budget():
    cells = arms(CANARY, "misses", [4_800, 200], [[2_700, 300], [1_920, 80]])

    (found,) = [e for e in judge(look(GOOD | cells)).extra if (e.metric, e.arm) == ("misses", "42")]

    assert found.estimate == pytest.approx(180)
    assert 0 < found.least < 180 < found.most <= 3000


def test_evidence_of_another_estimand_is_left_out():
    supervised = msgspec.structs.replace(CANARY, epoch=3, estimand="supervised", confirm_ms=600_000)
    bad = arms(CANARY, "misses", [9_600, 400], [[5_000, 1_000], [0, 0]])

    record = judge(look(GOOD | bad, of=(CANARY, supervised)))

    assert verdict(record, "misses").verdict is Verdict.NO_DATA


counts = st.integers(0, 400)
rates = st.lists(st.tuples(counts, counts), min_size=3, max_size=3)


def rated(epoch, name, champion, one, two):
    return arms(epoch, name, list(champion), [list(one), list(two)])


@settings(max_examples=15, deadline=None, derandomize=True)
@given(rates, rates, st.tuples(counts, counts, counts, counts))
def test_a_record_is_computed_again_from_its_look_alone(errors, misses, paired):
    totals = GOOD | rated(CANARY, "errors", *errors) | rated(CANARY, "misses", *misses)
    totals |= pairs(CANARY, "wrong", [sum(paired) + 3, *paired])

    record = judge(look(totals))
    stored = msgspec.json.decode(msgspec.json.encode(record), type=Record)

    assert recompute(stored) == record == stored


@settings(max_examples=15, deadline=None, derandomize=True)
@given(rates, st.sampled_from([metric.name for metric in CANARY.metrics]))
def test_no_data_is_never_safe(errors, gone):
    totals = GOOD | rated(CANARY, "errors", *errors)
    no, _ = named(CANARY, gone)
    totals.pop(CANARY.what(no, EVERYWHERE), None)

    found = verdict(judge(look(totals)), gone)

    assert found.verdict in (Verdict.NO_DATA, Verdict.INVALID)


@pytest.mark.parametrize("name", ["misses", "costs", "wrong", "tip"])
def test_units_of_which_no_outcome_ever_comes_are_no_data_however_many(name):
    """What is missing stands for the same in both arms: equal, as long as nobody asks why."""
    no, metric = named(CANARY, name)
    units = np.zeros((metric.groups(2), metric.columns), np.int64)
    units[:, 0] = (25_000, 25_000, 30_000, 20_000)[: len(units)]

    found = verdict(
        judge(look(GOOD | {CANARY.what(no, EVERYWHERE): (*units.ravel().tolist(),)})), name
    )

    assert found.verdict is Verdict.NO_DATA
    assert found.reasons == ("no outcome of either version has come",)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.tuples(counts, counts), st.tuples(counts, counts))
def test_swapping_the_arms_turns_evidence_for_into_evidence_against(champion, challenger):
    _, metric = named(CANARY, "misses")
    even = msgspec.structs.replace(metric, limit=0.0)
    one = msgspec.structs.replace(CANARY.challengers[0], pi=0.5, share=0.5)
    epoch = msgspec.structs.replace(
        CANARY, metrics=(even,), self_check=False, challengers=(one,), slices=()
    )

    def found(a, b):
        rows = np.array([[sum(a), *a, 0], [0, 0, 0, 0], [sum(b), *b, 0]])
        cells = {epoch.what(0, EVERYWHERE): tuple(rows.ravel().tolist())}
        return judge(look(split(epoch, 100, 100) | cells, of=(epoch,))).judged[0]

    straight, swapped = found(champion, challenger), found(challenger, champion)

    # One epoch of harm is (E + 1) / 2: it may have begun, or not.
    late = np.logaddexp(straight.log_safe, 0) - np.log(2)
    assert swapped.log_harm == pytest.approx(late)
    if straight.estimate is not None:
        assert swapped.estimate == pytest.approx(-straight.estimate)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.lists(counts, min_size=6, max_size=6), st.sampled_from([1e-6, 1e-3, 1e3]))
def test_the_unit_of_a_metric_changes_no_verdict(units, scale):
    no, metric = named(CANARY, "costs")
    scaled = msgspec.structs.replace(
        metric,
        levels=tuple(level * scale for level in metric.levels),
        limit=metric.limit * scale,
        centre=metric.centre * scale,
        sd=metric.sd * scale,
    )
    cells = arms(CANARY, "costs", units[:3], [units[3:], units[:3]])
    metrics = list(CANARY.metrics)
    metrics[no] = scaled
    other = msgspec.structs.replace(CANARY, metrics=tuple(metrics))

    plain = verdict(judge(look(GOOD | cells)), "costs")
    found = verdict(judge(look(GOOD | cells, of=(other,))), "costs")

    assert (found.verdict, found.n) == (plain.verdict, plain.n)
    assert found.log_safe == pytest.approx(plain.log_safe, rel=1e-6, abs=1e-6)
    assert found.log_harm == pytest.approx(plain.log_harm, rel=1e-6, abs=1e-6)


def test_in_shadow_what_would_compare_arms_compares_answers():
    canary, shadow = (
        {metric.name: (metric.side, metric.form) for metric in epoch.metrics}
        for epoch in (CANARY, SHADOW)
    )

    assert canary["errors"] == (Side.ARMS, Form.EVENT_SHARE)
    assert shadow["errors"] == (Side.PAIRS, Form.PAIRED_RATIO)
    assert canary["latency"] == (Side.ARMS, Form.QUANTILE)
    assert shadow["latency"] == (Side.PAIRS, Form.PAIRED_DIFFERENCE)
    assert shadow.keys() == {"errors", "latency", "disagreement", "wrong", "defects"}
    assert CANARY.challengers[0].pi == pytest.approx(PI)


def answered(*by_arm, of=CANARY):
    """Assigned and answered requests of each arm, as clients count them."""
    no, metric = named(of, "missing")
    champion, *others = by_arm
    half = [count // 2 for count in champion]
    rows = [half, [c - h for c, h in zip(champion, half, strict=True)], *others]
    cells = np.zeros((metric.groups(len(others)), metric.columns), np.int64)
    cells[:, :2] = rows
    return {
        of.assigned: tuple(n for row in by_arm for n in row),
        of.what(no, EVERYWHERE): tuple(cells.ravel().tolist()),
        **split(of, *(each[1] for each in by_arm)),
    }


WITHOUT = msgspec.structs.replace(
    CANARY, metrics=tuple(metric for metric in CANARY.metrics if metric.loss != "missing")
)
HALF_A_POINT = answered((500_000, 495_000), (300_000, 295_500), (200_000, 198_000))
NOT_WORSE = arms(CANARY, "errors", [485_100, 9_900], [[289_590, 5_910], [194_040, 3_960]])


def test_a_limit_on_missing_answers_says_how_many_may_be_missing():
    no, _ = named(CANARY, "missing")
    unlimited = {what: cells for what, cells in HALF_A_POINT.items() if what != CANARY.what(no, -1)}

    record = judge(look(HALF_A_POINT | NOT_WORSE))
    without = judge(look(unlimited | NOT_WORSE, of=(WITHOUT,)))

    assert not record.broken
    assert verdict(record, "missing").verdict is Verdict.SAFE
    assert verdict(record, "errors").verdict is Verdict.SAFE
    assert verdict(without, "errors").verdict is Verdict.INVALID


def test_answers_missing_beyond_their_limit_make_the_others_invalid():
    many = answered((500_000, 495_000), (300_000, 285_000), (200_000, 198_000))

    record = judge(look(many | NOT_WORSE))

    assert verdict(record, "missing").verdict is Verdict.HARM
    assert verdict(record, "errors").verdict is Verdict.INVALID
    assert verdict(record, "errors", "43").verdict is not Verdict.INVALID


def test_errors_that_were_never_answered_are_not_called_safe():
    """Errors 1 % and 1 %, but 0.9 points more are missing, within their margin of one point. Errors
    may be half as many again; all that are bad may be nearly twice as many."""
    hidden = answered((500_000, 500_000), (300_000, 297_300), (200_000, 200_000))
    equal = arms(CANARY, "errors", [495_000, 5_000], [[294_327, 2_973], [198_000, 2_000]])

    found = verdict(judge(look(hidden | equal)), "errors")

    assert found.verdict is Verdict.UNDECIDED
    assert "within its margin only if what was never answered was good" in found.reasons
    assert found.estimate == pytest.approx(1, abs=0.01)
    assert found.upper > found.limit


def test_a_split_is_held_against_what_was_assigned_where_clients_counted_it():
    lost = answered((500_000, 500_000), (300_000, 290_000), (200_000, 200_000))

    assert not judge(look(lost)).broken
    assert judge(look({what: lost[what] for what in lost if what != CANARY.assigned})).broken
