"""Agreement of annotators: textbook tables, independent oracles, and what has no agreement."""

from functools import reduce

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import fleiss_kappa as fleiss_of_statsmodels

from evidence.agreement import (
    Scale,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    krippendorff_interval,
    pairs,
)
from evidence.cells import Cells
from evidence.domain import InputError

# Krippendorff (2011), 4 observers x 12 units; 0 where an observer is missing.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
]
# Wikipedia's example, 3 observers x 15 units.
CODERS = [
    [0, 0, 0, 0, 0, 3, 4, 1, 2, 1, 1, 3, 3, 0, 3],
    [1, 0, 2, 1, 3, 3, 4, 3, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 2, 1, 3, 4, 4, 0, 2, 1, 1, 3, 3, 0, 4],
]
# Fleiss (1971) as on Wikipedia: 14 raters, 10 subjects, 5 categories.
FLEISS = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip

MATRICES = st.integers(1, 4).flatmap(
    lambda k: st.lists(
        st.lists(st.integers(0, 4), min_size=k, max_size=k), min_size=1, max_size=12
    ).map(np.array)
)
EVERY_SCALE = pytest.mark.parametrize("scale", list(Scale))


def counted(observers: list[list[int]]) -> np.ndarray:
    given = np.array(observers)
    return np.stack([(given == value).sum(axis=0) for value in range(1, given.max() + 1)], axis=1)


def alpha(opinions, scale: Scale, values=None) -> float | None:
    values = np.arange(1, np.shape(opinions)[1] + 1) if values is None else values
    return krippendorff_alpha(pairs(opinions, raters=20), scale=scale, values=values)


@given(MATRICES, st.data())
def test_alpha_of_merged_parts_is_alpha_of_everything(opinions, data):
    cut = data.draw(st.integers(0, len(opinions)))
    parts = [pairs(part, raters=16) for part in (opinions[:cut], opinions[cut:])]

    whole = pairs(opinions, raters=16)

    assert reduce(lambda a, b: a + b, parts, Cells()) == whole
    assert Cells() + whole == whole


@given(MATRICES, st.sampled_from(list(Scale)))
def test_alpha_is_that_of_the_krippendorff_package(opinions, scale):
    paired = opinions[opinions.sum(axis=1) >= 2]
    several = (paired.sum(axis=0) > 0).sum() > 1

    found = alpha(opinions, scale)

    assert (found is not None) == several
    if several:
        expected = krippendorff.alpha(
            value_counts=opinions,
            value_domain=list(range(1, opinions.shape[1] + 1)),
            level_of_measurement=scale.value,
        )
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (Scale.NOMINAL, 0.7434),
        (Scale.ORDINAL, 0.8154),
        (Scale.INTERVAL, 0.8491),
        (Scale.RATIO, 0.7974),
    ],
)
def test_alpha_of_krippendorffs_own_example(scale, expected):
    assert alpha(counted(OBSERVERS), scale) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(("scale", "expected"), [(Scale.NOMINAL, 0.691), (Scale.INTERVAL, 0.811)])
def test_alpha_of_wikipedias_example(scale, expected):
    assert alpha(counted(CODERS), scale) == pytest.approx(expected, abs=5e-4)


def test_opinions_that_never_differ_agree_fully():
    opinions = [[2, 0, 0], [0, 3, 0], [0, 0, 2]]

    for scale in Scale:
        assert alpha(opinions, scale) == 1
        assert (
            krippendorff_interval(
                opinions, scale=scale, values=[1, 2, 3], alpha=0.05, seed=1
            ).estimate
            == 1
        )
    assert fleiss_kappa([[2, 0], [0, 2]]) == cohen_kappa([[4, 0], [0, 7]]) == 1


@given(MATRICES)
def test_nominal_alpha_does_not_know_the_order_of_categories(opinions):
    reverse = alpha(opinions[:, ::-1], Scale.NOMINAL)

    found = alpha(opinions, Scale.NOMINAL)

    assert found == (None if reverse is None else pytest.approx(reverse))


@pytest.mark.parametrize("unit", [1e-200, 1.0, 1e200])
@pytest.mark.parametrize("scale", [Scale.INTERVAL, Scale.RATIO])
def test_the_unit_of_the_values_does_not_matter(scale, unit):
    values = np.arange(5) * unit

    assert alpha(counted(OBSERVERS), scale, values) == pytest.approx(
        alpha(counted(OBSERVERS), scale, range(5))
    )


@EVERY_SCALE
@pytest.mark.parametrize(
    "opinions",
    [np.zeros((0, 2), int), [[0, 0]], [[1, 0], [0, 1]], [[3, 0], [2, 0]], [[3, 0], [0, 1]]],
    ids=["no unit", "no opinion", "no second opinion", "one category", "one category in pairs"],
)
def test_without_chance_disagreement_there_is_no_alpha(scale, opinions):
    assert alpha(opinions, scale) is None
    assert krippendorff_interval(opinions, scale=scale, values=[1, 2], alpha=0.05, seed=1) is None


def test_no_state_has_no_alpha():
    assert krippendorff_alpha(Cells(), scale=Scale.NOMINAL) is None


@EVERY_SCALE
def test_the_bootstrap_interval_surrounds_the_estimate_and_narrows_with_units(scale):
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, size=(1600, 1))
    said = np.where(rng.random((1600, 3)) < 0.8, truth, rng.integers(0, 3, size=(1600, 3)))
    opinions = (said[:, :, None] == np.arange(3)).sum(axis=1)

    few, many = (
        krippendorff_interval(part, scale=scale, values=[1, 2, 4], alpha=0.05, seed=1)
        for part in (opinions[:100], opinions)
    )

    assert few.estimate == pytest.approx(alpha(opinions[:100], scale, [1, 2, 4]))
    assert few.estimate in few.interval
    assert many.estimate in many.interval
    assert few.interval.width / many.interval.width == pytest.approx(4, rel=0.25)
    assert few.n == 100


def test_the_interval_covers_the_true_alpha_about_as_often_as_it_says():
    rng = np.random.default_rng(4)
    covered = 0
    for seed in range(200):  # two raters, each right with .9: alpha = (2 * .9 - 1)^2
        truth = rng.integers(0, 2, size=(150, 1))
        said = np.where(rng.random((150, 2)) < 0.9, truth, 1 - truth)
        opinions = (said[:, :, None] == np.arange(2)).sum(axis=1)
        found = krippendorff_interval(
            opinions, scale=Scale.NOMINAL, alpha=0.1, seed=seed, replicates=400
        )
        covered += 0.64 in found.interval

    assert 165 <= covered <= 194  # 180 expected, +- 3.5 standard errors


def test_the_bootstrap_resamples_units_as_numpy_would_one_by_one():
    opinions = counted(OBSERVERS)
    paired = opinions[opinions.sum(axis=1) >= 2]
    rng = np.random.default_rng(5)
    drawn = [
        alpha(paired[rng.integers(0, len(paired), len(paired))], Scale.ORDINAL) for _ in range(2000)
    ]
    expected = np.quantile(drawn, [0.05, 0.95])

    found = krippendorff_interval(opinions, scale=Scale.ORDINAL, alpha=0.1, seed=1)

    assert found.interval.lower == pytest.approx(expected[0], abs=0.03)
    assert found.interval.upper == pytest.approx(expected[1], abs=0.03)


@given(MATRICES, st.randoms(use_true_random=False))
def test_one_seed_gives_one_interval_whatever_the_order_of_units(opinions, random):
    order = list(range(len(opinions)))
    random.shuffle(order)

    def interval(given):
        return krippendorff_interval(given, scale=Scale.ORDINAL, alpha=0.1, seed=1, replicates=50)

    assert interval(opinions[order]) == interval(opinions)


def test_a_sample_of_one_category_counts_as_worst_for_either_end():
    opinions = [[2, 0]] * 20 + [[0, 2]]  # without its last unit alpha is undefined: in 36 %

    found = krippendorff_interval(opinions, scale=Scale.NOMINAL, alpha=0.05, seed=1)

    assert (found.estimate, found.interval.lower, found.interval.upper) == (1, -np.inf, 1)


def test_one_unit_is_no_sample_to_draw_from():
    assert alpha([[1, 1]], Scale.NOMINAL) == 0
    assert krippendorff_interval([[1, 1]], scale=Scale.NOMINAL, alpha=0.05, seed=1) is None


def test_fleiss_kappa_of_the_textbook_table():
    assert fleiss_kappa(FLEISS) == pytest.approx(0.2099, abs=5e-5)


@given(st.integers(2, 6), st.data())
def test_fleiss_kappa_is_that_of_statsmodels(raters, data):
    said = data.draw(
        st.lists(
            st.lists(st.integers(0, 2), min_size=raters, max_size=raters), min_size=1, max_size=9
        )
    )
    opinions = (np.array(said)[:, :, None] == np.arange(3)).sum(axis=1)
    several = (opinions.sum(axis=0) > 0).sum() > 1

    found = fleiss_kappa(opinions)

    expected = fleiss_of_statsmodels(opinions) if several else None
    assert found == (pytest.approx(expected) if several else None)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ([[20, 5], [10, 15]], 0.4),
        ([[45, 15], [25, 15]], 0.1304),
        ([[25, 35], [5, 35]], 0.2593),
    ],
)
def test_cohens_kappa_of_textbook_tables(table, expected):
    assert cohen_kappa(table) == pytest.approx(expected, abs=5e-5)


@given(st.lists(st.integers(0, 9), min_size=9, max_size=9))
def test_cohens_kappa_is_that_of_scikit_learn(cells):
    table = np.array(cells).reshape(3, 3)
    first, second = (np.repeat(index.ravel(), table.ravel()) for index in np.indices(table.shape))

    found = cohen_kappa(table)

    if found is None:
        assert len({*first.tolist(), *second.tolist()}) <= 1
    else:
        assert found == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


def test_kappa_without_chance_disagreement_is_undefined():
    assert cohen_kappa([[7, 0], [0, 0]]) is None
    assert cohen_kappa(np.zeros((2, 2), int)) is None
    assert fleiss_kappa([[3, 0], [3, 0]]) is None
    assert fleiss_kappa(np.zeros((0, 2), int)) is None


NOMINAL = {"scale": Scale.NOMINAL}
BOOTSTRAP = {**NOMINAL, "alpha": 0.05, "seed": 1}


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: cohen_kappa([[1, 2, 3], [4, 5, 6]]), "table"),
        (lambda: cohen_kappa([[1, -2], [4, 5]]), "table"),
        (lambda: cohen_kappa([[1.0, 2.0], [4.0, 5.0]]), "table"),
        (lambda: fleiss_kappa([1, 2]), "opinions"),
        (lambda: fleiss_kappa([[2, 0], [1, 2]]), "opinions"),
        (lambda: fleiss_kappa([[1, 0], [0, 1]]), "opinions"),
        (lambda: pairs([[2, 2]], raters=3), "opinions"),
        (lambda: pairs([[1, 1]], raters=1), "raters"),
        (lambda: krippendorff_alpha([[1, 2]], **NOMINAL), "found"),
        (lambda: krippendorff_alpha([[[1, 2]]], **NOMINAL), "found"),
        (lambda: alpha([[1, 1]], Scale.INTERVAL, [1, 2, 3]), "values"),
        (lambda: alpha([[1, 1]], Scale.INTERVAL, [1, float("nan")]), "values"),
        (lambda: alpha([[1, 1]], Scale.RATIO, [-1, 1]), "values"),
        (lambda: krippendorff_alpha([[[0, 1], [1, 0]]], scale=Scale.RATIO), "values"),
        (lambda: krippendorff_interval([[1, 1]], **BOOTSTRAP, replicates=19), "replicates"),
        (lambda: krippendorff_interval([[1, 1]], **{**BOOTSTRAP, "alpha": 1.0}), "alpha"),
    ],
)
def test_what_is_no_table_of_opinions_is_named(make, argument):
    with pytest.raises(InputError) as refused:
        make()

    assert refused.value.argument == argument
