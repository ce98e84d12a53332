"""How an output is read: the decision, the stored score, and the level of uncertainty."""

import pytest

from streams.decided import read as read_all
from streams.events import Output, Prediction
from streams.facts import BLOB, NONE, OTHER, VALUE
from streams.models import Declaration, observed

SPAM = Declaration(
    model="spam", task="classification", classes=("ham", "spam"),
    thresholds={"default": 0.6, "strict": 0.9},
)  # fmt: skip
LABELS = {"ham": 1, "spam": 2, "x": 3, "y": 4}
HAM, SPAMMY, X, Y = 1, 2, 3, 4


def read(declaration, **output):
    event = Prediction(
        model="m", time=0, prediction_id="a", version="v",
        output=Output(**output) if output else None,
    )  # fmt: skip
    decided = read_all([event], declaration, LABELS)
    return decided.codes[0], decided.scores[0], decided.levels[0]


@pytest.mark.parametrize(
    ("output", "decision"),
    [
        ({"score": 0.6}, SPAMMY),
        ({"score": 0.59}, HAM),
        ({"score": 0.7, "scenario": "strict"}, HAM),
        ({"score": 0.7, "scenario": "unheard of"}, SPAMMY),
        ({"score": 0.7, "scenario": "strict", "threshold": 0.65}, SPAMMY),
        ({"score": 0.1, "label": "spam"}, SPAMMY),
        ({"scores": {"ham": 0.35, "spam": 0.65}}, SPAMMY),
        ({"scores": {"ham": 0.45, "spam": 0.55}}, HAM),
        ({"scores": {"ham": 0.9}}, HAM),
        ({"label": "never seen"}, OTHER),
    ],
)
def test_a_binary_answer_is_its_label_else_the_score_against_the_threshold(output, decision):
    assert read(SPAM, **output)[0] == decision


@pytest.mark.parametrize(
    ("output", "decision"),
    [
        ({"scores": {"x": 0.2, "y": 0.8}}, Y),
        ({"label": "x", "scores": {"x": 0.2, "y": 0.8}}, X),
        ({"scores": {"x": 0.5, "y": 0.5}}, Y),
        ({"score": 0.9}, NONE),
        ({"value": 2.5}, VALUE),
        ({"text": "fine"}, BLOB),
        ({}, NONE),
    ],
)
def test_any_other_answer_is_its_label_else_the_largest_score_else_what_it_holds(output, decision):
    assert read(observed("m"), **output)[0] == decision


def test_the_stored_score_is_of_the_positive_class_or_else_of_the_label():
    assert read(SPAM, label="ham", score=0.2)[1] == 0.2
    assert read(SPAM, scores={"ham": 0.7, "spam": 0.3})[1] == 0.3
    assert read(observed("m"), label="x", scores={"x": 0.25, "y": 0.75})[1] == 0.25


@pytest.mark.parametrize(
    ("score", "level"), [(1.0, 0), (0.95, 0), (0.9375, 1), (0.5, 8), (0.1, 1), (0.0, 0)]
)
def test_the_level_of_a_binary_answer_is_a_sixteenth_of_its_distance_from_certain(score, level):
    assert read(SPAM, score=score)[2] == level


def test_the_level_reaches_from_certain_to_ignorant_and_is_minus_one_without_a_score():
    assert read(observed("m"), label="x", score=0.0)[2] == 15
    assert read(observed("m"), scores={"x": 0.3, "y": 0.2})[2] == 11
    assert read(observed("m"), label="x")[2] == -1
