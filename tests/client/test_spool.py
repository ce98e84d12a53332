import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from penstock_client.spool import Spool

LINES = st.lists(st.binary(min_size=1, max_size=300).map(lambda b: b.replace(b"\n", b" ")))


def spool_in(folder, *, limit_bytes=10**6):
    return Spool(folder, "scope", limit_bytes=limit_bytes, batch_events=10)


def drained(spool):
    lines = []
    while chunk := spool.first():
        assert len(chunk.lines) <= 10
        lines += chunk.lines
        spool.done(chunk)
    return lines


@settings(deadline=None)
@given(st.lists(LINES.filter(bool), max_size=5))
def test_lines_come_back_in_order_and_leave_the_disk(tmp_path_factory, batches):
    folder = tmp_path_factory.mktemp("spool")
    spool = spool_in(folder)

    for batch in batches:
        assert spool.append(batch)

    assert drained(spool) == [line for batch in batches for line in batch]
    assert spool.waiting_bytes == 0
    spool.close()
    assert list(folder.iterdir()) == []


def test_a_chunk_that_was_not_settled_comes_again(tmp_path):
    spool = spool_in(tmp_path)
    spool.append([b"1", b"2"])

    first, again = spool.first(), spool.first()

    assert first == again
    spool.close()


def test_a_full_spool_takes_a_batch_whole_or_not_at_all(tmp_path):
    spool = spool_in(tmp_path, limit_bytes=10)

    assert spool.append([b"1234"])
    assert not spool.append([b"1234", b"1234"])

    assert drained(spool) == [b"1234"]
    assert spool.append([b"1234"]), "there is room again"
    spool.close()


def test_what_one_process_leaves_the_next_one_sends(tmp_path):
    left = spool_in(tmp_path)
    left.append([b"1", b"2"])
    left.close()

    heir = spool_in(tmp_path)
    heir.append([b"3"])
    heir.look_around()

    assert drained(heir) == [b"1", b"2", b"3"]
    heir.close()
    assert list(tmp_path.iterdir()) == []


def test_a_living_process_keeps_its_file(tmp_path):
    alive = spool_in(tmp_path)
    alive.append([b"1"])

    other = spool_in(tmp_path)
    other.look_around()

    assert other.first() is None
    assert drained(alive) == [b"1"]
    other.close()
    alive.close()


def test_a_line_that_was_cut_by_a_crash_is_skipped(tmp_path):
    left = spool_in(tmp_path)
    left.append([b"1", b"2"])
    left.close()
    [path] = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(b'{"type":"io.pen')

    heir = spool_in(tmp_path)
    heir.look_around()

    assert drained(heir) == [b"1", b"2"]
    heir.close()


def test_all_processes_share_one_bound(tmp_path):
    left = spool_in(tmp_path)
    left.append([b"x" * 900])
    left.close()

    heir = spool_in(tmp_path, limit_bytes=1_000)
    heir.look_around()

    assert not heir.append([b"x" * 900])
    heir.close()


@pytest.mark.parametrize("place", ["missing/deep", "file"])
def test_a_folder_that_cannot_be_used_takes_nothing(tmp_path, place):
    (tmp_path / "file").write_text("in the way")
    spool = spool_in(tmp_path / place)

    assert spool.append([b"1"]) is (place != "file")
    spool.close()
