"""The published JSON Schema says what the decoder takes."""

import copy

import jsonschema
import msgspec
import pytest

from rollout import schemas, spec
from tests.rollout.examples import FRAUD

SCHEMA = msgspec.json.decode(schemas.files()[schemas.NAME])
PLAIN = msgspec.json.decode(spec.canonical(spec.read(FRAUD)[0]))


def valid(value):
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(value)


def decodes(value):
    try:
        msgspec.convert(value, spec.Rollout)
    except msgspec.ValidationError:
        return False
    return True


def test_the_example_is_valid_by_schema_and_by_decoder():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    assert valid(PLAIN)
    assert decodes(PLAIN)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["apiVersion"], "penstock/v2"),
        (["spec", "challengers"], []),
        (["spec", "metrics", 0, "from"], "predictions"),
        (["spec", "metrics", 0, "margn"], {"relative": 0.1}),
        (["spec", "metrics", 0, "margin"], {"relative": -0.1}),
        (["spec", "metrics", 0, "exposure"], "ten minutes"),
        (["spec", "judge", "alpha"], 0.5),
        (["spec", "stages", 0, "shadow", "require"], "everything"),
        (["spec", "stages", 0, "shadow", "require"], []),
        (["spec", "stages", 2, "canary", "weights"], [2, 500]),
        (["spec", "freeze", 0, "cron"], "daily"),
    ],
)
def test_what_the_schema_refuses_the_decoder_refuses_too(path, value):
    broken = copy.deepcopy(PLAIN)
    place = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    assert not valid(broken)
    assert not decodes(broken)


def test_an_editor_is_told_that_a_stage_and_a_margin_are_one_thing():
    broken = copy.deepcopy(PLAIN)
    broken["spec"]["stages"][0]["full"] = {"probation": "7d"}

    assert not valid(broken)
    broken = copy.deepcopy(PLAIN)
    broken["spec"]["metrics"][0]["margin"] = {"relative": 0.1, "absolute": 3}
    assert not valid(broken)
