"""A version's numbers are read as the answer that a service would have reported."""

import numpy as np
import pytest

from streams.errors import InputError
from streams.events import Failure, Output
from streams.models import Declaration
from streams.outputs import answers

SPAM = Declaration(model="spam", task="classification", classes=("ham", "spam"))
DIGITS = Declaration(model="digits", task="classification", classes=("0", "1", "2"))
ETA = Declaration(model="eta", task="regression")


def read(model, live=None, activation="none", **arrays):
    given = {name: np.array(array) for name, array in arrays.items()}
    return answers(given, model, activation=activation).output(0, live)


@pytest.mark.parametrize(
    "scores", [[[0.3, 0.7]], [0.7], [[0.7]]], ids=["each class", "positive", "one column"]
)
def test_of_two_classes_the_score_is_that_of_the_positive_one(scores):
    assert read(SPAM, y=scores) == Output(label="spam", score=0.7)


def test_the_positive_class_may_be_the_first():
    inverted = Declaration(
        model="m", task="classification", classes=("spam", "ham"), positive="spam"
    )

    assert read(inverted, y=[0.7]) == Output(label="spam", score=0.7)
    assert read(inverted, y=[[0.2, 0.8]]) == Output(label="ham", score=0.2)


def test_it_is_decided_at_the_threshold_of_the_live_answer():
    live = Output(label="spam", score=0.9, threshold=0.8, scenario="night")

    assert read(SPAM, live, y=[0.7]) == Output(
        label="ham", score=0.7, threshold=0.8, scenario="night"
    )


def test_of_many_classes_the_likeliest_is_the_label():
    assert read(DIGITS, y=[[0.1, 0.2, 0.7]]) == Output(label="2", score=0.7)


def test_labels_beside_probabilities_are_not_needed():
    assert read(DIGITS, label=[1], y=[[0.1, 0.7, 0.2]]) == Output(label="1", score=0.7)


def test_labels_alone_are_names_or_places():
    assert read(DIGITS, label=[2]) == Output(label="2")
    assert read(SPAM, label=[1]) == Output(label="spam")
    assert read(SPAM, label=np.array(["ham"], object)) == Output(label="ham")
    assert read(DIGITS, label=[7]) == Failure(
        type="unknown-class", message="'7' is no declared class"
    )


def test_logits_need_their_activation():
    logits = [[0.0, 2.0, 0.0]]

    soft = read(DIGITS, activation="softmax", y=logits)

    assert soft.label == "1"
    assert soft.score == pytest.approx(np.exp(2) / (np.exp(2) + 2))
    assert read(SPAM, activation="sigmoid", y=[0.0]) == Output(label="spam", score=0.5)
    assert read(DIGITS, y=logits).type == "no-probability"


def test_a_regression_gives_its_number():
    assert read(ETA, y=[[12.5]]) == Output(value=12.5)


@pytest.mark.parametrize("model", [ETA, DIGITS])
def test_outputs_that_are_no_answer_of_the_model_are_told(model):
    with pytest.raises(InputError, match=r"y float64 \[1, 5\]"):
        read(model, y=[[0.1, 0.2, 0.3, 0.4, 0.5]])


def test_boxes_and_texts_are_reported_by_the_service():
    with pytest.raises(InputError, match="detection") as caught:
        read(Declaration(model="m", task="detection"), y=[0.1])
    assert "service" in caught.value.fix
