"""Slices as bits of a mask."""

import pytest

from streams.events import Prediction
from streams.models import Slice, Term
from streams.slices import masks


def event(**fields):
    return Prediction(model="m", time=0, prediction_id="a", version="v", **fields)


def holds(term, **fields):
    return masks([Slice(name="s", where=(term,))], [event(**fields)]).tolist() == [1]


def test_without_slices_every_mask_is_empty():
    assert masks([], [event(), event()]).tolist() == [0, 0]


def test_bit_k_is_set_where_every_term_of_slice_k_holds():
    slices = [
        Slice(name="br", where=(Term(tag="country", equals="BR"),)),
        Slice(name="br and large", where=(Term(tag="country", equals="BR"),
                                          Term(feature="amount", at_least=10.0))),
        Slice(name="ageless", where=(Term(feature="age", missing=True),)),
    ]  # fmt: skip
    events = [
        event(tags={"country": "BR"}, features={"amount": 9.0, "age": 3.0}),
        event(tags={"country": "BR"}, features={"amount": 10.0}),
        event(),
    ]

    assert masks(slices, events).tolist() == [0b001, 0b111, 0b100]


def test_the_last_of_63_slices_has_a_bit_of_its_own():
    slices = [Slice(name=str(k), where=(Term(tag="k", equals=str(k)),)) for k in range(63)]

    assert masks(slices, [event(tags={"k": "62"})]).tolist() == [1 << 62]


@pytest.mark.parametrize(("value", "within"), [(9.99, False), (10.0, True), (20.0, False)])
def test_a_range_holds_its_lower_end_and_not_its_upper(value, within):
    term = Term(feature="amount", at_least=10.0, below=20.0)

    assert holds(term, features={"amount": value}) is within


@pytest.mark.parametrize("value", ["15", True, None])
def test_what_is_no_number_is_in_no_range(value):
    assert not holds(Term(feature="amount", below=20.0), features={"amount": value})


def test_true_is_not_the_number_one():
    assert holds(Term(feature="on", equals=True), features={"on": True})
    assert not holds(Term(feature="on", equals=True), features={"on": 1.0})
    assert not holds(Term(feature="on", equals=1.0), features={"on": True})


def test_a_null_feature_is_missing():
    assert holds(Term(feature="age", missing=True), features={"age": None})
    assert not holds(Term(feature="age", missing=True), features={"age": 0.0})
