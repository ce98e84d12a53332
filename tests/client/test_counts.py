import os
import stat

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from penstock_client import claims, counts
from penstock_client.counts import Counts, Key, Sheet, left_behind

NAMES = st.text(st.characters(exclude_categories=("C",)), min_size=1, max_size=120)
KEYS = st.builds(
    Key,
    minute_ms=st.integers(0, 4_102_444_799_999),
    model=NAMES,
    route=NAMES,
    route_version=st.none() | st.integers(0, 2**31 - 1),
    arm=NAMES,
)
KEY = Key(60_000, "digits", "default", None, "champion")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(KEYS, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))))
def test_what_was_counted_is_read_back_from_the_file(tmp_path_factory, counted):
    sheet = Sheet.in_folder(tmp_path_factory.mktemp("state"), "scope")
    expected = {}
    for key, *numbers in counted:
        tally = sheet.tally(key)
        for add, times in zip((tally.assign, tally.answer, tally.drop), numbers, strict=True):
            for _ in range(times):
                add()
        known = expected.setdefault(key, [0, 0, 0])
        expected[key] = [a + b for a, b in zip(known, numbers, strict=True)]

    content = sheet._path.read_bytes()
    sheet.close(keep=False)

    events = [msgspec.json.decode(line) for line in left_behind(content, now_ms=7)]
    assert {
        Key(e["minute"], e["model"], e["route"], e["route_version"], e["arm"]): [
            e["assigned"],
            e["answered"],
            e["dropped"],
        ]
        for e in events
    } == expected


def test_the_counts_are_in_the_file_before_anybody_asks(tmp_path):
    sheet = Sheet.in_folder(tmp_path, "scope")

    sheet.tally(KEY).assign()

    [line] = left_behind(sheet._path.read_bytes(), now_ms=7)
    assert msgspec.json.decode(line)["assigned"] == 1
    sheet.close(keep=False)


def test_a_full_sheet_is_followed_by_another_instance(tmp_path):
    sheets = Counts(tmp_path, "scope")
    keys = [KEY._replace(minute_ms=60_000 * index) for index in range(9_000)]

    for key in keys:
        sheets.tally(key).assign()
    files = list(tmp_path.iterdir())
    left = [e for path in files for e in left_behind(path.read_bytes(), now_ms=7)]

    assert len(files) > 2
    assert sum(msgspec.json.decode(line)["assigned"] for line in left) == 9_000
    assert len({msgspec.json.decode(line)["instance"] for line in left}) == len(files)
    sheets.close(keep=False)


def test_a_closed_sheet_counts_nothing_and_breaks_nothing(tmp_path):
    sheets = Counts(tmp_path, "scope")
    tally = sheets.tally(KEY)
    sheets.close(keep=False)

    tally.assign()

    assert sheets.tally(KEY) is None
    assert tally.event(now_ms=7) is None
    assert list(tmp_path.iterdir()) == []


def test_counts_that_were_not_sent_stay_for_the_next_process(tmp_path):
    sheets = Counts(tmp_path, "scope")
    sheets.tally(KEY).assign()

    sheets.close(keep=False)

    [path] = tmp_path.iterdir()
    assert claims.adopt(path) is not None


@pytest.mark.parametrize("damage", ["empty", "short", "zeros", "noise", "long end"])
def test_a_damaged_file_gives_no_counts_and_no_error(tmp_path, damage):
    sheet = Sheet.in_folder(tmp_path, "scope")
    sheet.tally(KEY).assign()
    content = bytearray(sheet._path.read_bytes())
    sheet.close(keep=False)
    if damage == "long end":
        content[24:32] = (len(content) // 8).to_bytes(8, "little")
    broken = {
        "empty": b"",
        "short": content[:100],
        "zeros": bytes(len(content)),
        "noise": os.urandom(len(content)),
        "long end": content,
    }[damage]

    left = list(left_behind(bytes(broken), now_ms=7))

    assert len(left) == (1 if damage == "long end" else 0)


def test_a_file_has_one_owner_for_as_long_as_it_lives(tmp_path):
    path, descriptor = claims.create(tmp_path, "scope", counts.SUFFIX)

    assert claims.adopt(path) is None
    os.close(descriptor)
    adopted = claims.adopt(path)
    assert adopted is not None
    os.close(adopted)


def test_files_are_for_their_owner_only(tmp_path):
    claims.prepare(tmp_path / "state")
    path, descriptor = claims.create(tmp_path / "state", "scope", counts.SUFFIX)
    os.close(descriptor)

    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_others_can_write_to_is_not_used(tmp_path):
    tmp_path.chmod(0o777)

    with pytest.raises(PermissionError, match="writable by everyone"):
        claims.prepare(tmp_path)


def test_without_a_folder_counts_are_kept_in_memory_and_people_are_told(
    connect, remote, tmp_path, caplog
):
    (tmp_path / "file").write_text("in the way")
    client = connect(state_dir=tmp_path / "file")

    client.record(client.assign(), label="7")
    client.flush()

    assert remote.counts() == {"assigned": 1, "answered": 1, "dropped": 0}
    assert not client.stats().counts_lasting
    assert [r for r in caplog.records if "kept in memory" in r.message]
