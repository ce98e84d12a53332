"""Slices that decide nothing: what stands out is told, at a rate of false ones that is known."""

import numpy as np
import pytest
from msgspec.structs import replace

from evidence.decision import Verdict
from rollout.cells import Part
from rollout.judge import judge
from rollout.looks import Look
from rollout.spotting import spotted
from tests.rollout.test_judge import CANARY, GOOD, arms

PARTS = tuple(Part(f"s{k}", k) for k in range(20))
SLICED = replace(CANARY, slices=PARTS)
EQUAL = ((980, 20), (290, 10), (190, 10))


def look(**shares):
    """Every slice as the champion's, but these: each arm's (right, wrong) of `errors`."""
    totals = dict(GOOD)
    for part in PARTS:
        champion, *others = map(list, shares.get(part.name, EQUAL))
        totals |= arms(SLICED, "errors", champion, others, slot=part.slot)
    return Look(epochs=(SLICED,), totals=totals)


def test_a_slice_that_is_worse_stands_out_and_rolls_nothing_back():
    seen = look(s7=((980, 20), (150, 150), (190, 10)))

    (found,) = spotted(seen)

    assert (found.arm, found.metric, found.slice) == ("42", "errors", "s7")
    assert found.n == 170  # of an event share: the events of both
    assert found.log_harm > np.log(20 / SLICED.alpha)
    assert not any(each.slice or each.verdict is Verdict.HARM for each in judge(seen).judged)


def test_where_nothing_differs_nothing_stands_out():
    assert spotted(look()) == ()
    assert spotted(Look(epochs=(), totals={})) == ()


def test_a_protected_slice_is_judged_and_not_told_twice():
    seen = look(s7=((980, 20), (150, 150), (190, 10)))
    guarded = tuple(replace(part, protected=part.name == "s7") for part in PARTS)

    assert spotted(replace(seen, epochs=(replace(SLICED, slices=guarded),))) == ()


@pytest.mark.parametrize("seed", range(3))
def test_of_hundreds_of_looks_at_equal_slices_few_tell_anything(seed):
    draw = np.random.default_rng(seed)
    told = 0
    for _ in range(20):
        shares = {}
        for part in PARTS:
            wrong = draw.binomial([1000, 300, 200], 0.03)
            shares[part.name] = tuple(
                (int(n - w), int(w)) for n, w in zip([1000, 300, 200], wrong, strict=True)
            )
        told += bool(spotted(look(**shares)))
    assert told <= 20 * SLICED.alpha
