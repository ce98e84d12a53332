"""Which label holds: a function of the set of labels, whatever the order."""

from itertools import permutations

import pytest

from streams.facts import MISSING, NONE, Truth, winner


def truth(code=1, *, at=0, supersedes=0, id8=b"a" * 8):
    return Truth(code, None, at, supersedes, id8, 0, 0)


def code(*truths):
    codes = {getattr(winner(order), "label_code", None) for order in permutations(truths)}
    assert len(codes) == 1
    return codes.pop()


def test_without_a_label_nothing_holds():
    assert winner([]) is None


def test_the_newest_label_holds():
    assert code(truth(1, at=5), truth(2, at=6, id8=b"b" * 8), truth(3, at=4, id8=b"c" * 8)) == 2


def test_a_correction_beats_newer_labels_that_correct_nothing():
    assert code(truth(1, at=9), truth(2, at=1, supersedes=1, id8=b"b" * 8)) == 2


def test_of_two_corrections_the_newer_holds():
    corrections = (truth(1, at=1, supersedes=1), truth(2, at=2, supersedes=1, id8=b"b" * 8))

    assert code(truth(3, at=9, id8=b"c" * 8), *corrections) == 2


def test_labels_of_the_same_time_are_ranked_by_id():
    assert code(truth(1, id8=b"a" * 8), truth(2, id8=b"b" * 8)) == 2


def test_a_retraction_leaves_nothing():
    assert code(truth(1, at=9), truth(NONE, at=1, supersedes=1, id8=b"b" * 8)) is None


@pytest.mark.parametrize("at", [0, 10])
def test_a_declared_absence_never_beats_a_label(at):
    assert code(truth(1, at=5), truth(MISSING, at=at, id8=bytes(8))) == 1
    assert code(truth(MISSING, at=at, id8=bytes(8))) == MISSING
