import pytest

from evidence.decision import Verdict, judge, split_alpha
from evidence.domain import InputError
from evidence.effects import Arms, Difference, Ratio
from evidence.forms import Form, Frozen, statistic
from evidence.paired import PairedDifference, PairedRatio, Pairs
from evidence.results import Side
from evidence.risks import EventShare, OneArmShare
from evidence.sequences import Epoch

ARMS = Arms(pi=0.1, centre=0.05, sd=0.22)
PAIRS = Pairs(sigma0=0.25)
ALL = {
    Form.DIFFERENCE: Frozen(margin=0.01, arms=ARMS),
    Form.EVENT_SHARE: Frozen(margin=0.5, pi=0.1, incidence=0.02),
    Form.RATIO: Frozen(margin=0.1, arms=ARMS),
    Form.QUANTILE: Frozen(margin=0.0, arms=ARMS),
    Form.CEILING: Frozen(margin=0.08),
    Form.PAIRED_DIFFERENCE: Frozen(margin=0.01, pairs=PAIRS),
    Form.PAIRED_RATIO: Frozen(margin=0.1, pairs=PAIRS),
    Form.ASYMPTOTIC: Frozen(margin=0.1),
    Form.HEURISTIC: Frozen(margin=1.0),
}
ALPHAS = split_alpha(guardrails=2)


@pytest.mark.parametrize(
    ("form", "kind", "limit"),
    [
        (Form.DIFFERENCE, Difference, 0.01),
        (Form.EVENT_SHARE, EventShare, 1.5),
        (Form.RATIO, Ratio, 1.1),
        (Form.QUANTILE, Difference, 0.0),
        (Form.CEILING, OneArmShare, 0.08),
        (Form.PAIRED_DIFFERENCE, PairedDifference, 0.01),
        (Form.PAIRED_RATIO, PairedRatio, 1.1),
    ],
)
def test_each_form_has_its_statistic_and_its_limit(form, kind, limit):
    found = statistic(form, ALL[form])

    assert type(found.statistic) is kind
    assert found.question.limit == pytest.approx(limit)
    assert found.question.harm is Side.ABOVE
    assert found.rolls_back
    assert found.gates


@pytest.mark.parametrize("form", [Form.ASYMPTOTIC, Form.HEURISTIC])
def test_what_is_not_exact_neither_rolls_back_nor_stands_alone(form):
    found = statistic(form, ALL[form])

    assert (found.statistic, found.rolls_back, found.gates) == (None, False, False)


def test_no_form_is_forgotten():
    assert set(ALL) == set(Form)


@pytest.mark.parametrize(
    ("form", "frozen", "good", "bad"),
    [
        (Form.DIFFERENCE, ALL[Form.DIFFERENCE],
         [[85_500, 4_500], [9_500, 500]], [[85_500, 4_500], [9_000, 1_000]]),
        (Form.EVENT_SHARE, ALL[Form.EVENT_SHARE], [900, 100], [900, 300]),
        (Form.RATIO, ALL[Form.RATIO],
         [[855_000, 45_000], [95_000, 5_000]], [[855_000, 45_000], [93_000, 7_000]]),
        (Form.QUANTILE, ALL[Form.QUANTILE],
         [[85_500, 4_500], [9_700, 300]], [[85_500, 4_500], [9_000, 1_000]]),
        (Form.CEILING, ALL[Form.CEILING], [9_500, 500], [9_000, 1_000]),
        (Form.PAIRED_DIFFERENCE, ALL[Form.PAIRED_DIFFERENCE],
         [[300, 300, 0, 9_400, 0]], [[600, 300, 0, 9_100, 0]]),
        (Form.PAIRED_RATIO, ALL[Form.PAIRED_RATIO],
         [[300, 600, 300, 8_800, 0]], [[600, 300, 300, 8_800, 0]]),
    ],
)  # fmt: skip
def test_a_version_as_good_is_safe_and_one_beyond_the_margin_is_harm(form, frozen, good, bad):
    guardrail = statistic(form, frozen)
    assert guardrail.statistic is not None

    verdicts = [
        judge(guardrail.question, ALPHAS, [[Epoch(guardrail.statistic, cells)]]).verdict
        for cells in (good, bad)
    ]

    assert verdicts == [Verdict.SAFE, Verdict.HARM]


def test_where_higher_is_better_limit_and_side_are_mirrored():
    sales = Frozen(margin=0.02, higher_is_better=True, arms=ARMS)

    difference, ratio = statistic(Form.DIFFERENCE, sales), statistic(Form.RATIO, sales)

    assert difference.question.limit == pytest.approx(-0.02)
    assert ratio.question.limit == pytest.approx(0.98)
    assert difference.question.harm is ratio.question.harm is Side.BELOW


def test_mirrored_metrics_have_mirrored_verdicts():
    """Errors that halve are as safe as successes that... the same counts with 0 and 1 swapped."""
    errors = statistic(Form.DIFFERENCE, Frozen(margin=0.01, arms=ARMS))
    successes = statistic(
        Form.DIFFERENCE,
        Frozen(margin=0.01, higher_is_better=True, arms=Arms(pi=0.1, centre=0.95, sd=0.22)),
    )
    assert errors.statistic is not None
    assert successes.statistic is not None

    for bad in (300, 500, 900):
        counts = [[85_500, 4_500], [10_000 - bad, bad]]
        swapped = [row[::-1] for row in counts]
        a = judge(errors.question, ALPHAS, [[Epoch(errors.statistic, counts)]])
        b = judge(successes.question, ALPHAS, [[Epoch(successes.statistic, swapped)]])

        assert a.verdict is b.verdict
        assert a.safe.log_e == pytest.approx(b.safe.log_e, rel=1e-9)
        assert a.harm.log_e == pytest.approx(b.harm.log_e, rel=1e-9)


@pytest.mark.parametrize(
    ("form", "frozen", "argument"),
    [
        (Form.DIFFERENCE, {"margin": 0.01}, "arms"),
        (Form.RATIO, {"margin": 0.01}, "arms"),
        (Form.EVENT_SHARE, {"margin": 0.5, "pi": 0.1}, "incidence"),
        (Form.EVENT_SHARE, {"margin": 0.5, "incidence": 0.1}, "pi"),
        (Form.EVENT_SHARE, {"margin": 0.5, "pi": 0.1, "incidence": 0.3}, "incidence"),
        (Form.PAIRED_DIFFERENCE, {"margin": 0.01}, "pairs"),
        (Form.QUANTILE, {"margin": 0.1, "arms": ARMS}, "margin"),
        (
            Form.QUANTILE,
            {"margin": 0.0, "arms": Arms(levels=(0.0, 2.0), pi=0.5, centre=1, sd=1)},
            "arms",
        ),
        (Form.CEILING, {"margin": 1.0}, "margin"),
        (Form.CEILING, {"margin": 0.1, "higher_is_better": True}, "higher_is_better"),
        (Form.DIFFERENCE, {"margin": -0.01, "arms": ARMS}, "margin"),
        (Form.DIFFERENCE, {"margin": float("nan"), "arms": ARMS}, "margin"),
        (Form.DIFFERENCE, {"margin": 0.01, "safe_margin": 0.02, "arms": ARMS}, "safe_limit"),
    ],
)
def test_a_parameter_that_does_not_fit_its_form_is_named(form, frozen, argument):
    with pytest.raises(InputError) as refused:
        statistic(form, Frozen(**frozen))

    assert refused.value.argument == argument
