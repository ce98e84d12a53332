"""Numbers for names: given once, for ever, whoever asks."""

import threading

import pytest

from streams import codes
from streams.codes import Codes


def test_numbers_follow_the_order_of_the_names_and_stay(store):
    known = Codes(store)
    known.ensure({("arm", 0, "b"), ("arm", 0, "a")})
    known.ensure({("arm", 0, "0"), ("arm", 0, "a")})

    assert known.of("arm") == {"a": 1, "b": 2, "0": 3}
    assert Codes(store).of("arm") == known.of("arm")


def test_each_scope_counts_from_one(store):
    known = Codes(store)
    known.ensure({("version", 1, "v1"), ("version", 2, "v1"), ("version", 2, "v2")})

    assert (known.of("version", 1), known.of("version", 2)) == ({"v1": 1}, {"v1": 1, "v2": 2})


def test_a_name_that_another_process_named_has_its_number(store):
    here, there = Codes(store), Codes(store)
    there.ensure({("arm", 0, "z")})
    here.ensure({("arm", 0, "a"), ("arm", 0, "z")})

    assert here.of("arm") == {"z": 1, "a": 2}


def test_a_name_past_the_cap_has_no_number(store, monkeypatch):
    monkeypatch.setitem(codes.CAPS, "arm", 2)
    known = Codes(store)
    known.ensure({("arm", 0, name) for name in "abc"})

    assert known.of("arm") == {"a": 1, "b": 2}


def test_workers_that_name_the_same_things_at_once_agree(store):
    names = [f"n{k}" for k in range(12)]
    workers = [Codes(store) for _ in range(4)]
    barrier = threading.Barrier(len(workers))
    failed = []

    def work(at):
        barrier.wait(20)
        try:
            for k in range(0, len(names), 3):
                low = (k + 3 * at) % len(names)
                batch = names[low : low + 3]
                workers[at].ensure({(kind, 0, n) for n in batch for kind in ("arm", "route")})
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(at,)) for at in range(len(workers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert not failed
    assert len({tuple(sorted(worker.of("arm").items())) for worker in workers}) == 1
    assert sorted(Codes(store).of("route").values()) == list(range(1, 13))


def test_what_was_rolled_back_is_not_known(store):
    known = Codes(store)
    with pytest.raises(UnicodeEncodeError):
        known.ensure({("arm", 0, "a"), ("route", 0, "\ud800")})
    Codes(store).ensure({("arm", 0, "other")})

    known.ensure({("arm", 0, "a")})

    assert known.of("arm") == {"a": 2}
