"""What the client writes is what the server reads."""

import json
import pickle
from collections import OrderedDict

import msgspec
import numpy as np
import penstock_client
import pytest
from penstock_client import events

from streams.events import AnyEvent


@pytest.fixture
def sent(connect, remote):
    """What one call puts on the wire, as the server decodes it."""

    def send(call):
        client = connect()
        assignment = client.assign("unit-1", tags={"country": "nl"})
        call(client, assignment)
        assert client.flush(), client.stats()
        lines = [
            line
            for _, _, body in remote.requests
            for line in body.splitlines()
            if b"io.penstock.assigned" not in line
        ]
        assert len(lines) == 1
        assert lines[0].startswith(b'{"type":"io.penstock.'), "the type comes first"
        return assignment, msgspec.json.decode(lines[0], type=AnyEvent)

    return send


def test_a_classification_arrives_with_all_that_was_said(sent):
    assignment, event = sent(
        lambda client, assignment: client.record(
            assignment,
            label="cat",
            score=0.9,
            scores={"cat": 0.9, "dog": 0.1},
            threshold=0.5,
            scenario="night",
            features={"age": 3, "name": "x", "ok": True, "gone": None},
            inputs=[{"name": "image", "uri": "s3://a/b"}],
            latency_ms=1.5,
            queue_ms=0.5,
            join_key="order-7",
            sample_rate=0.5,
            time_ms=1_700_000_000_000,
        )
    )

    assert event.prediction_id == assignment.prediction_id
    assert (event.model, event.version, event.arm, event.role) == (
        "digits",
        "41",
        "champion",
        "live",
    )
    assert (event.route, event.route_version) == ("default", None)
    assert (event.unit_id, event.join_key) == ("unit-1", "order-7")
    assert event.tags == {"country": "nl"}
    assert event.time == 1_700_000_000_000
    assert event.output.scores == {"cat": 0.9, "dog": 0.1}
    assert event.output.scenario == "night"
    assert event.features == {"age": 3, "name": "x", "ok": True, "gone": None}
    assert event.inputs[0].uri == "s3://a/b"
    assert event.sample_rate == 0.5


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        ({"value": 12.5}, {"value": 12.5}),
        ({"text": "a\nline\u2028"}, {"text": "a\nline\u2028"}),
        ({"label": 7}, {"label": "7"}),
        ({"label": np.int64(7), "score": np.float32(0.5)}, {"label": "7", "score": 0.5}),
        (
            {
                "boxes": [{"label": "car", "box": [1, 2.5, 3, 4], "score": 0.5}],
                "image": {"width": 640, "height": 480},
            },
            {
                "boxes": [{"label": "car", "box": [1, 2.5, 3, 4], "score": 0.5}],
                "image": {"width": 640, "height": 480},
            },
        ),
    ],
)
def test_every_kind_of_answer_is_understood(sent, answer, output):
    _, event = sent(lambda client, assignment: client.record(assignment, **answer))

    given = {k: v for k, v in msgspec.to_builtins(event.output).items() if v is not None}
    assert json.loads(json.dumps(given)) == output


def test_a_failure_of_the_model_is_an_answer_without_output(sent):
    _, event = sent(
        lambda client, assignment: client.record(assignment, error=("OutOfMemory", "no room"))
    )

    assert event.output is None
    assert (event.error.type, event.error.message) == ("OutOfMemory", "no room")


def test_a_shadow_answer_names_its_own_version_and_the_arm_of_the_request(sent):
    _, event = sent(
        lambda client, assignment: client.record(
            assignment, label="cat", role="shadow", version="42"
        )
    )

    assert (event.version, event.role, event.arm) == ("42", "shadow", "champion")


def test_a_label_has_an_id_of_its_own_unless_one_is_given(sent):
    _, event = sent(lambda client, _: client.label(join_key="order-7", label="dog"))

    assert (event.source, event.join_key, event.label) == ("outcome", "order-7", "dog")
    assert len(event.label_id) == 36


def test_a_label_is_taken_back_by_superseding_it_with_nothing(sent):
    _, event = sent(
        lambda client, _: client.label(prediction_id="p-7", label_id="l-2", supersedes="l-1")
    )

    assert (event.label_id, event.supersedes, event.label) == ("l-2", "l-1", None)


def test_feedback_about_a_unit_goes_to_the_clients_route(sent):
    _, event = sent(lambda client, _: client.feedback("revenue", unit_id="u", value=3))

    assert (event.name, event.unit_id, event.route, event.value) == ("revenue", "u", "default", 3)


def test_feedback_about_a_request_names_no_route(sent):
    _, event = sent(lambda client, _: client.feedback("thumb", prediction_id="p-7", label="up"))

    assert (event.prediction_id, event.label, event.route) == ("p-7", "up", None)


def test_an_outcome_that_never_comes_is_declared(sent):
    _, event = sent(lambda client, _: client.outcome_missing("p-7", reason="censored"))

    assert (event.prediction_id, event.source, event.reason) == ("p-7", "outcome", "censored")


def test_numpy_scalars_are_numbers_and_nan_is_missing(sent):
    features = {
        "a": np.float64(1.5),
        "b": np.float32(0.25),
        "c": np.int64(3),
        "d": np.bool_(True),
        "e": float("nan"),
        "f": np.float32("nan"),
    }

    _, event = sent(
        lambda client, assignment: client.record(assignment, value=1, features=features)
    )

    assert event.features == {"a": 1.5, "b": 0.25, "c": 3, "d": True, "e": None, "f": None}


def test_values_are_frozen_when_they_are_recorded(connect, remote):
    client = connect()
    features = {"age": 3}

    client.record(client.assign(), value=1, features=features)
    features["age"] = 4
    client.flush()

    assert remote.of("prediction")[0]["features"] == {"age": 3}


def test_the_largest_event_is_32_kib():
    fits = events.Label("digits", "l", "outcome", 0, "p", text="x" * 16_000)
    too_large = events.Label("digits", "l", "outcome", 0, "p", text="x" * 40_000)

    assert len(events.encode(fits)) < 32 * 1024
    with pytest.raises(ValueError, match="at most 32768"):
        events.encode(too_large)


def test_an_assignment_is_a_value_that_can_travel():
    given = penstock_client.Assignment("p-7", "41", "champion", "default", tags=(("a", "b"),))

    assert pickle.loads(pickle.dumps(given)) == given
    with pytest.raises(AttributeError):
        given.version = "42"
    assert hash(given) == hash(pickle.loads(pickle.dumps(given)))
    assert OrderedDict(given.tags) == {"a": "b"}
