"""One spec has one digest, however it is written."""

import copy
import json

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout import spec
from streams.errors import InputError
from tests.rollout.examples import FRAUD, as_json, edited

PLAIN = as_json(FRAUD)

names = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff\u2028\u2029"),
    min_size=1, max_size=20,
)  # fmt: skip
awkward = st.sampled_from(
    ["NO", "1.10", "16:30", "on", "null", "~", "0x1F", "1e3", "- a", "{", "#", "2026-01-01", "é"]
)
shares = st.floats(0.001, 0.999)
durations = st.builds(
    lambda n, unit: f"{n}{unit}", st.integers(1, 999_999), st.sampled_from(["ms", "s", "m", "d"])
)
EDITS = {
    ("metadata", "name"): names | awkward,
    ("metadata", "description"): st.text(st.characters(exclude_categories=("Cs", "Cc"))),
    ("spec", "route"): awkward,
    ("spec", "champion", "version"): names | awkward,
    ("spec", "slices"): st.lists(awkward, max_size=4),
    ("spec", "metrics", 0, "margin"): st.fixed_dictionaries({"relative": shares}),
    ("spec", "metrics", 5, "cap"): st.floats(1e-9, 1e18),
    ("spec", "judge", "alpha"): st.floats(1e-6, 0.2),
    ("spec", "judge", "plannedUnits"): st.integers(100, 2**53),
    ("spec", "judge", "selfCheck"): st.booleans(),
    ("spec", "stages", 2, "canary", "weights"): st.lists(st.floats(0.01, 99), min_size=1),
    ("spec", "stages", 2, "canary", "dwell"): durations,
    ("spec", "blindAfter"): durations,
}


@st.composite
def specs(draw):
    plain = copy.deepcopy(PLAIN)
    for path in draw(st.lists(st.sampled_from(list(EDITS)), unique=True)):
        place = plain
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = draw(EDITS[path])
    return plain


@settings(max_examples=50)
@given(specs(), st.booleans(), st.booleans())
def test_yaml_and_json_of_one_spec_have_one_digest(plain, flow, ascii_only):
    as_yaml = yaml.safe_dump(
        plain, default_flow_style=flow, allow_unicode=not ascii_only, sort_keys=False
    )
    from_yaml, _ = spec.read(f"# what begins with a brace is JSON\n{as_yaml}".encode())
    from_json, _ = spec.read(json.dumps(plain, ensure_ascii=ascii_only).encode())

    assert from_yaml == from_json
    assert spec.digest(from_yaml) == spec.digest(from_json)


@settings(max_examples=50)
@given(specs())
def test_the_canonical_spelling_is_read_back_as_the_same_spec(plain):
    rollout, _ = spec.read(json.dumps(plain).encode())

    again = spec.decoded(spec.canonical(rollout))

    assert again == rollout
    assert spec.canonical(again) == spec.canonical(rollout)


@settings(max_examples=20)
@given(st.permutations(list(PLAIN["spec"])))
def test_the_order_of_keys_is_no_part_of_a_spec(order):
    shuffled = PLAIN | {"spec": {key: PLAIN["spec"][key] for key in order}}

    assert spec.digest(msgspec.convert(shuffled, spec.Rollout)) == spec.digest(spec.read(FRAUD)[0])


@pytest.mark.parametrize(
    "change",
    [
        ("onDeadline", "rollback"),
        ("assignment.by", "penstock"),
        ("judge.selfCheck", "true"),
        ("metrics.errors.better", "lower"),
        ("stages.full.full.keepWarm", "true"),
        ("audits.opinions", "2"),
        ("judge.alpha", "0.0500"),
    ],
    ids=str,
)
def test_a_default_that_is_said_changes_nothing(change):
    assert spec.digest(spec.read(edited(change))[0]) == spec.digest(spec.read(FRAUD)[0])


@pytest.mark.parametrize(
    "change",
    [
        ("metrics.errors.margin.relative", 0.51),
        ("metadata.owner", "ann"),
        ("guardrails", ["latency", "errors", "defects"]),
        ("freeze.0.zone", "Europe/Paris"),
    ],
    ids=str,
)
def test_any_other_difference_is_another_digest(change):
    assert spec.digest(spec.read(edited(change))[0]) != spec.digest(spec.read(FRAUD)[0])


def test_the_digest_of_the_example_is_the_same_in_every_release():
    """A spec that is stored keeps its name; a release that changes this breaks a promise."""
    assert spec.digest(spec.read(FRAUD)[0]) == (
        "sha256:6abedd99a2eb11beca61c4a3a2e75fda392bcfc3b18d452d1cdfde138a560fe9"
    )


def test_what_is_stored_and_is_no_spec_is_an_error():
    with pytest.raises(InputError, match="the stored spec cannot be read"):
        spec.decoded(b'{"kind": "ModelRollout"}')
