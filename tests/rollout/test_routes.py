"""Published tables: one newest a route, numbers that only grow, and a life that is renewed."""

import threading

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout import routes
from rollout.assignment import Challenger, RouteTable, first_version
from rollout.routes import RENEW_MS, VALID_MS, newest, publish, upcoming
from streams.db.engine import reading, writing
from streams.errors import ConflictError
from streams.installation import begin_generation, generation, prepare

NOW_MS = 1_795_000_000_000


def made(connection, share=0.05, *, model="fraud", route="checkout", now_ms=NOW_MS) -> RouteTable:
    """The next table of the route, not published yet."""
    return upcoming(connection, model, route).table(
        salt="r-1",
        champion="41",
        challengers=[Challenger(version="42", share=share)],
        unit="account_id",
        scope={"region": ("EU",)},
        expires_at=now_ms + VALID_MS,
    )


def published(engine, share=0.05, **given) -> RouteTable:
    with writing(engine) as connection:
        table = made(connection, share, **given)
        publish(connection, table)
    return table


def seen(engine) -> list[RouteTable]:
    with reading(engine) as connection:
        return newest(connection)


def test_the_newest_table_of_each_route_is_read_as_it_was_published(ready):
    published(ready, 0.02)
    second = published(ready, 0.05)
    other = published(ready, 0.5, route="app")

    assert seen(ready) == [other, second]
    assert (second.version, other.version, second.generation) == (2, 1, 0)


def test_older_tables_stay_for_whoever_asks_what_an_event_was_assigned_by(ready):
    first = published(ready, 0.02)
    published(ready, 0.05)

    with reading(ready) as connection:
        assert routes.at_version(connection, "fraud", "checkout", 1) == first
        assert routes.at_version(connection, "fraud", "checkout", 3) is None
        assert routes.at_version(connection, "fraud", "app", 1) is None


def test_a_number_is_published_once_and_never_goes_back(ready):
    first = published(ready)
    second = published(ready)

    for stale in (first, second, msgspec.structs.replace(second, generation=9)):
        with pytest.raises(ConflictError, match="version"), writing(ready) as connection:
            publish(connection, stale)
    assert seen(ready) == [second]


def test_of_two_that_publish_at_once_one_is_told_to_decide_again(ready):
    barrier, told = threading.Barrier(2), []

    def decide(share):
        with reading(ready) as connection:
            table = made(connection, share)
        barrier.wait(10)
        try:
            with writing(ready) as connection:
                publish(connection, table)
            told.append(table)
        except ConflictError as error:
            told.append(error.fix)

    published(ready)
    threads = [threading.Thread(target=decide, args=(share,)) for share in (0.1, 0.2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    [winner] = [one for one in told if isinstance(one, RouteTable)]
    assert "take the next number and decide again" in told
    assert seen(ready) == [winner]


def test_what_is_not_committed_is_not_published(ready):
    def crash():
        with writing(ready) as connection:
            publish(connection, made(connection))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        crash()
    assert seen(ready) == []


def test_renewing_prolongs_the_newest_and_nothing_before_it_is_due(ready):
    published(ready)
    table = published(ready)

    def renewed(now_ms):
        with writing(ready) as connection:
            return routes.renew(connection, now_ms=now_ms)

    assert renewed(NOW_MS + RENEW_MS - 1) == 0
    assert seen(ready) == [table]
    assert renewed(NOW_MS + RENEW_MS) == 1
    assert seen(ready)[0].expires_at == NOW_MS + RENEW_MS + VALID_MS
    assert renewed(NOW_MS + 10 * VALID_MS) == 1, "one that expired is valid again"
    with reading(ready) as connection:
        assert routes.at_version(connection, "fraud", "checkout", 1).expires_at == NOW_MS + VALID_MS


def test_after_a_restore_every_table_is_newer_than_all_that_were_lost(ready):
    published(ready)
    with reading(ready) as connection:
        lost = [made(connection)]
    for _ in range(60):  # published after the backup, known to clients and events only
        last = lost[-1]
        lost.append(msgspec.structs.replace(last, version=last.version + 1))

    with writing(ready) as connection:
        begin_generation(connection, now_ms=NOW_MS)
    after = published(ready)
    with writing(ready) as connection:
        begin_generation(connection, now_ms=NOW_MS + 60_000)
    again = published(ready)

    assert all(after.rank > table.rank and after.version != table.version for table in lost)
    assert again.rank > after.rank
    assert again.version > after.version


def test_a_generation_grows_even_where_the_clock_went_back(ready):
    with writing(ready) as connection:
        begin_generation(connection, now_ms=NOW_MS)
        begin_generation(connection, now_ms=NOW_MS - 3_600_000)

        assert generation(connection).begun_s == NOW_MS // 1000 + 1


def test_a_new_database_outranks_the_one_that_was_there_before_it(ready):
    with writing(ready) as connection:
        prepare(connection, now_ms=NOW_MS)
        first = made(connection)
        prepare(connection, now_ms=NOW_MS + 5_000)
        assert made(connection) == first, "a history begins once"

    assert first.rank == (NOW_MS // 1000, 1)


@given(st.integers(1_577_836_800, 3_500_000_000), st.integers(60, 10**9))
def test_versions_of_a_later_generation_begin_above_and_fit_an_event(begun_s, later_s):
    assert 1 <= first_version(begun_s) < 2**31
    assert first_version(begun_s + later_s) > first_version(begun_s) + 64 * (later_s // 60 - 1)
