"""Who gets which arm: as published, the same for everybody, and told when it was not kept."""

import struct
from collections import Counter
from hashlib import blake2b
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout import vectors
from rollout.assignment import (
    Challenger,
    Place,
    RouteTable,
    arm_of,
    hashed,
    misassigned,
)
from streams.errors import InputError

FILE = Path(__file__).parents[2] / "docs" / "vectors" / "assignment.json"
PUBLISHED = msgspec.json.decode(FILE.read_bytes())


def table(*shares: float, unit: str = "account_id", **given) -> RouteTable:
    challengers = [Challenger(version=f"{42 + k}", share=share) for k, share in enumerate(shares)]
    return Place("fraud", "checkout", 0, 7).table(
        salt="r-1", champion="41", challengers=challengers, unit=unit, expires_at=10**12, **given
    )


def independent(route, unit, tags):
    """The arm of `unit`, written from docs/routes.md and the JSON alone."""
    if any(tags.get(tag) not in values for tag, values in route["scope"].items()):
        return route["arms"][-1]["arm"]
    digest = blake2b(f"{route['salt']}\0{unit}".encode(), digest_size=8).digest()
    (number,) = struct.unpack(">Q", digest)
    point = number // 2**11 / 2**53
    for arm in route["arms"]:
        if arm["lo"] <= point < arm["hi"]:
            return arm["arm"]
    return None


def test_the_published_file_is_current():
    assert FILE.read_bytes() == vectors.content(), "python -m rollout.vectors " + str(FILE)


def test_an_independent_implementation_gives_the_published_answers():
    arms = Counter()
    for case in PUBLISHED["assigned"]:
        for asked in case["units"]:
            assert independent(case["table"], asked["unit"], asked["tags"]) == asked["arm"]
            arms[asked["arm"]] += 1
    assert set(arms) == {"champion", "42", "43", "44"}


@given(
    st.lists(st.floats(0, 0.12), min_size=1, max_size=6),
    st.text(max_size=30),
    st.dictionaries(st.sampled_from(["region", "tier"]), st.sampled_from(["EU", "US", ""])),
    st.dictionaries(st.sampled_from(["region", "tier"]), st.just(("EU", "CH"))),
)
def test_a_table_means_the_same_after_its_way_over_the_wire(shares, unit, tags, scope):
    made = table(*(round(share, 6) for share in shares), scope=scope)

    wire = msgspec.json.encode(made)

    assert msgspec.json.decode(wire, type=RouteTable) == made
    assert independent(msgspec.json.decode(wire), unit, tags) == arm_of(made, unit, tags).arm


def test_the_table_in_the_documentation_is_one():
    page = (FILE.parents[1] / "routes.md").read_text()
    example = page.split("```json")[1].split("```")[0]

    shown = msgspec.json.decode(example, type=RouteTable)

    assert msgspec.json.decode(example).keys() == set(RouteTable.__struct_fields__)
    assert arm_of(shown, "account-17", {}).arm == "champion"


def test_outside_of_the_scope_the_champion_answers():
    everybody = table(1.0, scope={"region": ("EU", "CH"), "tier": ("gold",)})

    assert arm_of(everybody, "u", {"region": "CH", "tier": "gold"}).arm == "42"
    for tags in ({}, {"region": "EU"}, {"region": "US", "tier": "gold"}, {"region": "eu"}):
        assert arm_of(everybody, "u", tags).arm == "champion"


def test_a_new_salt_draws_anew():
    half = table(0.5)
    other = msgspec.structs.replace(half, salt="r-2")
    both = Counter(
        (arm_of(half, f"u-{k}", {}).arm, arm_of(other, f"u-{k}", {}).arm) for k in range(8_000)
    )

    # Independent draws: a quarter each; four standard deviations are 155.
    assert len(both) == 4
    assert max(abs(count - 2_000) for count in both.values()) < 155


def test_a_table_by_request_draws_by_the_prediction_and_one_by_unit_needs_the_unit():
    assert hashed(table(0.5, unit="request"), unit_id="a", prediction_id="p") == "p"
    assert hashed(table(0.5), unit_id="a", prediction_id="p") == "a"
    assert hashed(table(0.5), unit_id=None, prediction_id="p") is None


def test_an_event_is_misassigned_when_its_arm_is_not_its_units():
    half = table(0.5)
    inside = next(f"u-{k}" for k in range(99) if arm_of(half, f"u-{k}", {}).arm == "42")
    outside = next(f"u-{k}" for k in range(99) if arm_of(half, f"u-{k}", {}).arm == "champion")

    def told(arm, unit_id, tags=()):
        return misassigned(half, arm=arm, unit_id=unit_id, prediction_id="p", tags=dict(tags))

    assert (told("42", inside), told("champion", inside)) == (False, True)
    assert (told("42", outside), told("champion", outside)) == (True, False)
    assert (told("42", None), told("champion", None)) == (True, False)
    assert told(None, outside)
    assert told("43", inside)


def test_a_request_out_of_scope_that_got_the_challenger_is_misassigned():
    scoped = table(1.0, scope={"region": ("EU",)})
    asked = {"arm": "42", "unit_id": "a", "prediction_id": "p"}

    assert not misassigned(scoped, **asked, tags={"region": "EU"})
    assert misassigned(scoped, **asked, tags={"region": "US"})


@pytest.mark.parametrize("versions", [("42", "42"), ("champion",)])
def test_two_arms_of_one_name_are_refused(versions):
    challengers = [Challenger(version=version, share=0.1) for version in versions]

    with pytest.raises(InputError, match="two arms would have one name: champion, "):
        Place("m", "r", 0, 1).table(salt="s", champion="41", challengers=challengers, expires_at=0)
