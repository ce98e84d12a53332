"""Read-outs at one look: the formulas of their sources, without bias, and covering as they say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from evidence.domain import InputError
from evidence.moments import Moments
from evidence.readouts import LEAST, Audits, difference, hajek, ppi
from evidence.results import Guarantee, NotYet, SingleLook

ALPHA = 0.05


def sampled(seed: int, n: int = 600) -> dict[str, np.ndarray]:
    """Units of which some were audited, under very different probabilities."""
    rng = np.random.default_rng(seed)
    h, pi = rng.beta(1, 2, n), rng.choice([0.1, 0.3, 0.8, 1.0], n)
    return {
        "pi": pi,
        "audited": rng.random(n) < pi,
        "wrong": (rng.random(n) < 0.2 + 0.5 * h).astype(float),
        "predicted": h,
    }


def part(units: dict[str, np.ndarray], start: int, stop: int | None) -> Audits:
    return Audits.of(**{name: values[start:stop] for name, values in units.items()})


def fields(audits: Audits) -> np.ndarray:
    return np.concatenate(
        [
            [audits.units, audits.predicted, audits.right, audits.wrong],
            audits.totals,
            audits.products.ravel(),
        ]
    )


@given(st.integers(0, 20), st.lists(st.integers(0, 600), min_size=2, max_size=2).map(sorted))
def test_merged_sums_are_the_sums_of_all_units(seed, cuts):
    units = sampled(seed)

    parts = [part(units, a, b) for a, b in zip((0, *cuts), (*cuts, None), strict=True)]

    whole = fields(part(units, 0, None))
    assert fields(sum(parts, Audits())) == pytest.approx(whole, rel=1e-12)
    assert fields(parts[0] + (parts[1] + parts[2])) == pytest.approx(whole, rel=1e-12)
    assert fields(parts[2] + parts[1] + parts[0]) == pytest.approx(whole, rel=1e-12)


@given(st.integers(0, 20))
def test_the_empty_sums_change_nothing(seed):
    audits = part(sampled(seed), 0, None)

    assert (fields(audits + Audits()) == fields(audits)).all()
    assert (fields(Audits() + audits) == fields(audits)).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_formulas_of_the_page_unit_by_unit(seed):
    units = sampled(seed)
    pi, seen, e, h = units.values()
    w, n = 1 / pi[seen], len(pi)
    ratio = (w * e[seen]).sum() / w.sum()
    tuned = ((1 - pi[seen]) * w**2 * e[seen] * h[seen]).sum() / (
        (1 - pi[seen]) * w**2 * h[seen] ** 2
    ).sum()

    expected = {
        "hajek": (ratio, ((1 - pi[seen]) * (w * (e[seen] - ratio)) ** 2).sum() / w.sum() ** 2)
    }
    for name, lam in (("ht", 0.0), ("fixed", 0.7), ("tuned", min(max(tuned, 0.0), 1.0))):
        rest = e[seen] - lam * h[seen]
        expected[name] = (
            lam * h.mean() + (w * rest).sum() / n,
            ((1 - pi[seen]) * (w * rest) ** 2).sum() / n**2,
        )

    audits = part(units, 0, None)
    found = {
        "hajek": hajek(audits, alpha=ALPHA),
        "ht": difference(audits, alpha=ALPHA, weight=0.0),
        "fixed": difference(audits, alpha=ALPHA, weight=0.7),
        "tuned": difference(audits, alpha=ALPHA),
    }
    for name, (estimate, variance) in expected.items():
        reach = norm.isf(ALPHA / 2) * math.sqrt(variance)
        assert found[name].estimate == pytest.approx(estimate, rel=1e-12)
        assert found[name].interval.lower == pytest.approx(estimate - reach, rel=1e-9)
        assert found[name].interval.upper == pytest.approx(estimate + reach, rel=1e-9)
        assert found[name].n == seen.sum()
        assert found[name].guarantee is Guarantee.SINGLE


def test_a_census_is_exact():
    audits = Audits.of(pi=1.0, audited=True, wrong=[1, 0, 0, 0] * 50, predicted=0.5)

    for found in (hajek(audits, alpha=ALPHA), difference(audits, alpha=ALPHA)):
        assert found.estimate == pytest.approx(0.25)
        assert found.interval.width == 0


def test_the_tuned_weight_never_widens_and_stays_within_its_bounds():
    units = sampled(1)
    upside_down = {**units, "predicted": 1 - units["wrong"]}
    perfect = {**units, "predicted": units["wrong"]}
    timid = {**units, "predicted": units["wrong"] / 2}  # wants the weight 2

    for each in (units, upside_down, perfect, timid):
        audits = Audits.of(**each)
        width = difference(audits, alpha=ALPHA).interval.width
        for fixed in np.linspace(0, 1, 11):
            assert width <= difference(audits, alpha=ALPHA, weight=fixed).interval.width + 1e-12
    assert difference(Audits.of(**upside_down), alpha=ALPHA) == difference(
        Audits.of(**units), alpha=ALPHA, weight=0
    )
    assert difference(Audits.of(**perfect), alpha=ALPHA).interval.width == pytest.approx(0)


# The experiment of the design page: 10,376 predictions, 10 % wrong, 400 audits expected.
POPULATION, AUDITS, RUNS = 10_376, 400, 2_000


def policies(h: np.ndarray) -> dict[str, np.ndarray]:
    def scaled(score: np.ndarray) -> np.ndarray:
        return np.minimum(AUDITS * score / score.sum(), 1)

    flat, neyman = scaled(np.ones_like(h)), scaled(np.sqrt(h * (1 - h)))
    return {
        "uniform": flat,
        "proportional to risk": scaled(h),
        "neyman": neyman,
        "mixed": 0.3 * flat + 0.7 * neyman,
    }


@pytest.mark.parametrize("policy", ["uniform", "proportional to risk", "neyman", "mixed"])
def test_known_probabilities_take_the_bias_out_and_the_mixed_policy_covers(policy):
    rng = np.random.default_rng(62)
    h = rng.beta(0.35, 3.05, POPULATION)  # calibrated: wrong with probability h
    wrong = rng.random(POPULATION) < h
    truth, pi = wrong.mean(), policies(h)[policy]

    found: dict[str, list[SingleLook]] = {"hajek": [], "ht": [], "difference": []}
    for _ in range(RUNS):
        audits = Audits.of(pi=pi, audited=rng.random(POPULATION) < pi, wrong=wrong, predicted=h)
        found["hajek"].append(hajek(audits, alpha=ALPHA))
        found["ht"].append(difference(audits, alpha=ALPHA, weight=0))
        found["difference"].append(difference(audits, alpha=ALPHA))

    errors = {
        name: np.array([look.estimate for look in looks]) - truth for name, looks in found.items()
    }
    for name in ("ht", "difference"):
        assert abs(errors[name].mean()) < 3 * errors[name].std() / math.sqrt(RUNS)
    if policy == "mixed":
        coverage = np.mean([truth in look.interval for look in found["difference"]])
        assert 0.935 <= coverage <= 0.965
        assert errors["difference"].std() < errors["ht"].std()
        assert 0.93 <= np.mean([truth in look.interval for look in found["hajek"]]) <= 0.965
        assert abs(errors["hajek"].mean()) < 0.1 * errors["hajek"].std()


def spun(n: int, stream: int) -> np.ndarray:
    """Numbers in [0, 1) that any language repeats: multiples of the golden ratio."""
    return (np.arange(1, n + 1) * (math.sqrt(5) - 1) / 2 + stream * math.sqrt(2)) % 1


def predictions(kind: str, n: int, total: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, their predictions, and the predictions of the unlabelled."""
    x, noise, other = spun(n, 1), spun(n, 2), spun(total, 3)
    if kind == "rate":
        return (noise < x).astype(float), x.round(2), other.round(2)
    if kind == "real":
        return 3 * x + noise, 2 * x + 1, 2 * other + 1
    return (noise < x).astype(float), 1 - x, 1 - other


# ppi_mean_pointestimate and ppi_mean_ci(alpha=0.05) of ppi-python 0.2.3 on the data above.
PPI_PYTHON = [
    ("rate", 50, 1000, 0.42545, 0.34374653742742345, 0.5071534625725765),
    ("rate", 400, 400, 0.4181920539032706, 0.3796760155286828, 0.45670809227785836),
    ("real", 100, 5000, 1.9845326633215485, 1.923423701054795, 2.0456416255883023),
    ("real", 300, 60, 2.0041135306445796, 1.922937520693505, 2.085289540595654),
    ("upside down", 80, 900, 0.425, 0.3166743047964192, 0.5333256952035808),
]


@pytest.mark.parametrize(("kind", "n", "total", "estimate", "lower", "upper"), PPI_PYTHON)
def test_ppi_gives_the_numbers_of_ppi_python(kind, n, total, estimate, lower, upper):
    y, f, other = predictions(kind, n, total)

    found = ppi(Moments.of(np.stack([y, f], axis=1)), Moments.of(other), alpha=ALPHA)

    assert found.estimate == pytest.approx(estimate, rel=1e-9)
    assert found.interval.lower == pytest.approx(lower, rel=1e-9)
    assert found.interval.upper == pytest.approx(upper, rel=1e-9)
    assert (found.n, found.guarantee) == (n, Guarantee.SINGLE)


@pytest.mark.parametrize("constant", [0.0, 0.3])
def test_ppi_without_a_use_of_its_predictions_is_the_mean_of_the_labels(constant):
    y = np.array([0.0, 1.0, 1.0, 1.0] * 10)
    rows = np.stack([y, np.full(40, constant)], axis=1)

    found = ppi(Moments.of(rows), Moments.of(np.full(100, constant)), alpha=ALPHA)

    reach = norm.isf(ALPHA / 2) * y.std() / math.sqrt(40)
    assert found.estimate == pytest.approx(0.75)
    assert found.interval.upper == pytest.approx(0.75 + reach)


def test_ppi_reads_merged_moments():
    y, f, other = predictions("real", 100, 500)
    rows = np.stack([y, f], axis=1)

    merged = ppi(
        Moments.of(rows[:30]) + Moments.of(rows[30:]),
        Moments.of(other[:77]) + Moments.of(other[77:]),
        alpha=ALPHA,
    )

    whole = ppi(Moments.of(rows), Moments.of(other), alpha=ALPHA)
    assert merged.estimate == pytest.approx(whole.estimate, rel=1e-12)
    assert merged.interval.width == pytest.approx(whole.interval.width, rel=1e-9)


def test_ppi_covers_the_mean_of_the_labels():
    rng, runs, missed = np.random.default_rng(23), 2_000, 0

    for _ in range(runs):
        p, other = rng.random(200), rng.random(1_000)
        labelled = np.stack([rng.random(200) < p, p], axis=1)
        found = ppi(Moments.of(labelled), Moments.of(other), alpha=ALPHA)
        missed += 0.5 not in found.interval

    assert 0.035 <= missed / runs <= 0.07


def test_few_verdicts_of_either_kind_give_no_number():
    few_wrong = Audits.of(pi=0.5, audited=[True, False] * 100, wrong=[1] * 38 + [0] * 162)
    few_right = Audits.of(pi=0.5, audited=[True, False] * 100, wrong=[0] * 38 + [1] * 162)

    for audits, have in ((few_wrong, 19), (few_right, 19), (Audits(), 0)):
        for found in (hajek(audits, alpha=ALPHA), difference(audits, alpha=ALPHA)):
            assert isinstance(found, NotYet)
            assert (found.have, found.need) == (have, LEAST)
    more = few_wrong + Audits.of(pi=0.5, audited=True, wrong=1)
    assert isinstance(hajek(more, alpha=ALPHA), SingleLook)


def test_few_or_equal_labels_give_no_number():
    rows = Moments.of([[0.0, 0.2], [1.0, 0.7]] * 10)
    other = Moments.of([0.2, 0.7] * 10)

    assert isinstance(ppi(rows, other, alpha=ALPHA), SingleLook)
    for labelled, unlabelled, have in (
        (Moments.of([[0.0, 0.2]] * 19), other, 19),
        (rows, Moments.of([0.2]), 1),
        (Moments(), other, 0),
        (rows, Moments(), 0),
        (Moments.of([[1.0, 0.2], [1.0, 0.7]] * 10), other, 1),
    ):
        found = ppi(labelled, unlabelled, alpha=ALPHA)
        assert isinstance(found, NotYet)
        assert found.have == have < found.need


GOOD = {"pi": [0.5, 1.0], "audited": [False, True], "wrong": [math.nan, 1], "predicted": [0.0, 1.0]}


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("pi", [0.0, 1.0]),
        ("pi", [0.5, 1.5]),
        ("pi", [math.nan, 1.0]),
        ("pi", [1.0, 1.0]),  # sure to be audited, and was not
        ("wrong", [0, 0.5]),
        ("wrong", [0, math.nan]),
        ("predicted", [0.0, 1.1]),
        ("predicted", [math.nan, 1.0]),
        ("audited", [True, True, True]),
        ("audited", [math.nan, 1.0]),
    ],
)
def test_units_outside_their_domain_are_refused_by_name(argument, value):
    assert Audits.of(**GOOD).wrong == 1

    with pytest.raises(InputError) as refused:
        Audits.of(**{**GOOD, argument: value})

    assert refused.value.argument == argument


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("units", -1),
        ("right", 0.5),
        ("wrong", -1),
        ("predicted", math.nan),
        ("totals", np.zeros(2)),
        ("products", np.full((3, 3), math.inf)),
    ],
)
def test_stored_sums_outside_their_domain_are_refused_by_name(argument, value):
    with pytest.raises(InputError) as refused:
        Audits(**{argument: value})

    assert refused.value.argument == argument


def test_parameters_outside_their_domain_are_refused():
    audits, y = part(sampled(0), 0, None), Moments.of([0.0, 1.0] * 20)
    rows = Moments.of([[0.0, 0.2], [1.0, 0.7]] * 20)

    for call in (
        lambda: hajek(audits, alpha=0),
        lambda: hajek(Audits(), alpha=0),
        lambda: difference(audits, alpha=1),
        lambda: difference(audits, alpha=ALPHA, weight=1.1),
        lambda: difference(audits, alpha=ALPHA, weight=math.nan),
        lambda: ppi(rows, y, alpha=2),
        lambda: ppi(y, y, alpha=ALPHA),
        lambda: ppi(rows, rows, alpha=ALPHA),
    ):
        with pytest.raises(InputError):
            call()
