"""The published hashes: stable, balanced, and what an independent reading of the page gives."""

import struct
import uuid
from collections import Counter
from datetime import UTC, date, datetime
from hashlib import blake2b
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import hashing, vectors

FILE = Path(__file__).parents[2] / "docs" / "vectors" / "hashes.json"
PUBLISHED = msgspec.json.decode(FILE.read_bytes())


def number(*parts: str) -> int:
    """BLAKE2b-64 of the parts with NUL between them, big-endian; written from docs/events.md."""
    return struct.unpack(">Q", blake2b("\0".join(parts).encode(), digest_size=8).digest())[0]


def test_the_published_file_is_current():
    assert FILE.read_bytes() == vectors.content(), "python -m streams.vectors " + str(FILE)


def test_an_independent_implementation_gives_the_published_answers():
    for case in PUBLISHED["partition"]:
        assert number(case["model"], case["key"]) % case["partitions"] == case["partition"]
    for case in PUBLISHED["assignment"]:
        assert number(case["salt"], case["unit"]) // 2**11 / 2**53 == case["point"]
    for case in PUBLISHED["pid16"]:
        assert independent_pid16(case["id"]).hex() == case["pid16"]
    for case in PUBLISHED["day"]:
        assert independent_day(case["id"]) == case["day"]


def independent_pid16(text: str) -> bytes:
    try:
        known = uuid.UUID(text)
    except ValueError:
        known = None
    if known is not None and str(known) == text:
        return known.bytes
    return blake2b(text.encode(), digest_size=16).digest()


def independent_day(text: str) -> int:
    try:
        known = uuid.UUID(text)
    except ValueError:
        return 0
    if str(known) != text or text[14] != "7":
        return 0
    moment_ms = known.int >> 80
    if moment_ms > datetime(2058, 1, 1, tzinfo=UTC).timestamp() * 1000 - 1:
        return 0
    day = datetime.fromtimestamp(moment_ms / 1000, UTC).date() - date(2020, 1, 1)
    return max(0, day.days)


@given(st.uuids())
@settings(deadline=None, derandomize=True)
def test_a_canonical_uuid_is_its_own_16_bytes(some):
    assert hashing.pid16(str(some)) == some.bytes


@given(st.text(min_size=1, max_size=40))
@settings(deadline=None, derandomize=True)
def test_any_id_has_16_bytes_and_a_day(text):
    assert hashing.pid16(text) == independent_pid16(text)
    assert hashing.day_of(text) == independent_day(text)


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**74 - 1))
@settings(deadline=None, derandomize=True)
def test_the_day_of_a_uuidv7_is_its_own_date(moment_ms, rest):
    value = moment_ms << 80 | 7 << 76 | (rest >> 62) << 64 | 2 << 62 | rest & (2**62 - 1)

    assert hashing.day_of(str(uuid.UUID(int=value))) == independent_day(str(uuid.UUID(int=value)))


def test_partitions_are_balanced():
    counts = Counter(hashing.partition_of("mailguard", f"p-{k}", 12) for k in range(12_000))

    assert set(counts) == set(range(12))
    assert max(abs(count - 1000) for count in counts.values()) < 150


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5])
def test_assignment_is_balanced_and_growing_a_share_moves_nobody_back(share):
    points = [hashing.assignment_point("salt", f"unit-{k}") for k in range(20_000)]

    assert all(0 <= point < 1 for point in points)
    assert abs(sum(point < share for point in points) / 20_000 - share) < 0.012
    assert {p for p in points if p < share} <= {p for p in points if p < share + 0.1}


def keyed(secret, text):
    return hashing.KeyedHash(secret).of([text])[0]


def test_the_secret_changes_a_keyed_hash_and_an_id_does_not_show_through():
    assert keyed(b"a" * 32, "unit") != keyed(b"b" * 32, "unit")
    assert -(2**63) <= keyed(b"a" * 32, "unit") < 2**63
