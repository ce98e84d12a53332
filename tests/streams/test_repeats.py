"""Who asks again with the same key gets the answer that there was, and nothing is done twice."""

import threading

import pytest

from streams import repeats
from streams.db.engine import writing
from streams.errors import InputError

ASKED = {"asker": "k1", "key": "a", "asked": "digest"}


@pytest.fixture
def kept(engine):
    """A database that has the table and nothing else."""
    with writing(engine) as connection:
        repeats.kept_answer.create(connection)
    return engine


def answered(engine, *, now_ms=0, work=lambda: b"done", **others):
    """As a handler does: the change and its answer in one transaction."""
    asked = ASKED | others
    with writing(engine) as connection:
        found = repeats.claim(connection, **asked, now_ms=now_ms)
        if found is None:
            found = work()
            repeats.keep(connection, asker=asked["asker"], key=asked["key"], body=found)
    return found


def test_the_same_key_has_the_same_answer(kept):
    first = answered(kept, work=lambda: b"first")

    assert [first, answered(kept, work=lambda: b"second")] == [b"first", b"first"]


def test_keys_of_others_are_others(kept):
    answered(kept, work=lambda: b"first")

    assert answered(kept, asker="k2", asked="another", work=lambda: b"second") == b"second"


def test_what_failed_leaves_the_key_free(kept):
    def fails():
        raise RuntimeError("the power is gone")

    with pytest.raises(RuntimeError):
        answered(kept, work=fails)

    assert answered(kept, work=lambda: b"second") == b"second"


def test_a_key_for_another_request_is_refused(kept):
    answered(kept)

    with pytest.raises(InputError, match="'a' stood for another request"):
        answered(kept, asked="another")


def test_a_key_runs_out_after_a_day(kept):
    answered(kept, now_ms=0, work=lambda: b"first")
    last, after = repeats.KEPT_MS - 1, repeats.KEPT_MS

    assert answered(kept, now_ms=last, work=lambda: b"second") == b"first"
    assert answered(kept, now_ms=after, work=lambda: b"second") == b"second"


def test_two_at_once_do_it_once(kept):
    begun, done = threading.Barrier(2), []

    def ask():
        begun.wait()
        done.append(answered(kept, work=lambda: b"%d" % threading.get_ident()))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(done) == 2
    assert done[0] == done[1]
