"""What the engine and the leases promise, on SQLite and on PostgreSQL alike."""

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import CheckConstraint, Column, Engine, Integer, MetaData, Table, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from streams.db import bulk, leases
from streams.db.engine import connect, reading, writing
from streams.db.metadata import metadata
from streams.errors import ConfigError, ConflictError, UnavailableError
from tests.contracts.postgres import Server, free_port


def rows(engine: Engine) -> list[int]:
    with reading(engine) as connection:
        return list(connection.execute(text("SELECT a FROM note ORDER BY a")).scalars())


def put(engine: Engine, value: int) -> None:
    with writing(engine) as connection:
        connection.execute(text("INSERT INTO note VALUES (:a)"), {"a": value})


@pytest.fixture
def noted(engine: Engine) -> Engine:
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE note (a INTEGER PRIMARY KEY)"))
    return engine


def test_what_was_written_is_read(noted):
    put(noted, 1)

    assert rows(noted) == [1]


def test_an_exception_takes_the_whole_transaction_back(noted):
    with pytest.raises(ZeroDivisionError), writing(noted) as connection:
        _ = connection.execute(text("INSERT INTO note VALUES (1)")), 1 / 0

    assert rows(noted) == []


def test_a_reader_sees_one_snapshot_and_makes_no_writer_wait(noted):
    with reading(noted) as reader:
        before = reader.execute(text("SELECT count(*) FROM note")).scalar_one()
        put(noted, 1)
        after = reader.execute(text("SELECT count(*) FROM note")).scalar_one()

    assert (before, after) == (0, 0)
    assert rows(noted) == [1]


def test_a_reader_cannot_write_and_its_connection_can_again_later(noted):
    with pytest.raises(DBAPIError), reading(noted) as reader:
        reader.execute(text("INSERT INTO note VALUES (1)"))

    put(noted, 2)
    assert rows(noted) == [2]


def test_a_broken_rule_of_the_schema_stays_what_it_is(noted):
    put(noted, 1)

    with pytest.raises(IntegrityError):
        put(noted, 1)


def test_writers_lose_nothing_to_each_other(noted):
    put(noted, 0)

    def add() -> None:
        with writing(noted) as connection:
            connection.execute(text("UPDATE note SET a = a + 1"))

    with ThreadPoolExecutor(8) as writers:
        for done in [writers.submit(add) for _ in range(100)]:
            done.result()

    assert rows(noted) == [100]


def test_a_writer_that_waits_too_long_is_told(noted, database_url):
    put(noted, 0)
    hasty = connect(database_url, wait_s=0.1)

    with writing(noted) as slow:
        slow.execute(text("UPDATE note SET a = 1"))
        started = time.monotonic()
        with pytest.raises(UnavailableError), writing(hasty) as connection:
            connection.execute(text("UPDATE note SET a = 2"))
        waited_s = time.monotonic() - started

    hasty.dispose()
    assert 0.1 <= waited_s < 2
    assert rows(noted) == [1]


def test_of_two_transactions_that_wait_for_each_other_one_is_told_to_retry(postgres_url):
    engine = connect(postgres_url)
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE note (a INTEGER PRIMARY KEY, b INTEGER)"))
        connection.execute(text("INSERT INTO note VALUES (1, 0), (2, 0)"))
    update = text("UPDATE note SET b = b + 1 WHERE a = :a")

    both = threading.Barrier(2)

    def cross(first: int, second: int) -> None:
        with writing(engine) as connection:
            connection.execute(update, {"a": first})
            both.wait(10)
            connection.execute(update, {"a": second})

    with ThreadPoolExecutor(2) as pair:
        errors = [one.exception() for one in (pair.submit(cross, 1, 2), pair.submit(cross, 2, 1))]
    engine.dispose()

    assert [type(error) for error in errors if error] == [ConflictError]


def test_a_session_that_the_server_ends_is_unavailable_and_the_next_one_works(postgres_url):
    engine = connect(postgres_url)

    def freeze() -> None:
        with writing(engine) as connection:
            connection.execute(text("SET idle_in_transaction_session_timeout = 1"))
            time.sleep(0.1)
            connection.execute(text("SELECT 1"))

    with pytest.raises(UnavailableError):
        freeze()

    with reading(engine) as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    engine.dispose()


def test_a_session_has_its_limits_and_plans_for_tables_as_they_are(postgres_url):
    engine = connect(f"{postgres_url}?options=-c%20work_mem%3D5MB")

    with reading(engine) as connection:
        limits = {
            name: connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in (
                "idle_in_transaction_session_timeout",
                "lock_timeout",
                "plan_cache_mode",
                "statement_timeout",
                "work_mem",
            )
        }

    engine.dispose()
    assert list(limits.values()) == ["5s", "7s", "force_custom_plan", "30s", "5MB"]


def test_what_the_url_says_of_a_session_wins(postgres_url):
    engine = connect(
        f"{postgres_url}?options=-c%20statement_timeout%3D9s&application_name=mine", name="other"
    )

    with reading(engine) as connection:
        found = [
            connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("statement_timeout", "application_name", "lock_timeout")
        ]

    engine.dispose()
    assert found == ["9s", "mine", "7s"]


def test_a_process_has_no_more_sessions_than_it_was_given(postgres_url, monkeypatch):
    monkeypatch.setattr("streams.db.engine._POOL_WAIT_S", 0.1)
    engine = connect(postgres_url, connections=1)

    with reading(engine), pytest.raises(UnavailableError, match="in use"), reading(engine):
        pass

    engine.dispose()


def test_a_statement_that_takes_too_long_is_unavailable_and_nothing_was_written(postgres_url):
    engine = connect(f"{postgres_url}?options=-c%20statement_timeout%3D50")
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE note (a INTEGER PRIMARY KEY)"))

    def slow() -> None:
        with writing(engine) as connection:
            connection.execute(text("INSERT INTO note VALUES (1)"))
            connection.execute(text("SELECT pg_sleep(5)"))

    with pytest.raises(UnavailableError, match="too long"):
        slow()

    assert rows(engine) == []
    engine.dispose()


def test_a_lock_that_is_waited_for_too_long_in_a_copy_is_unavailable(postgres_url):
    engine, hasty = connect(postgres_url), connect(postgres_url, wait_s=0.1)
    table = Table("copied", MetaData(), Column("a", Integer, primary_key=True))
    with writing(engine) as connection:
        table.create(connection)

    with writing(engine) as slow:
        bulk.insert(slow, table, [(1,)])
        with pytest.raises(UnavailableError, match="lock"), writing(hasty) as connection:
            bulk.insert(connection, table, [(1,)])
    with pytest.raises(ConflictError, match="was there"), writing(hasty) as connection:
        bulk.insert(connection, table, [(2,), (1,)])

    with reading(engine) as connection:
        assert connection.execute(table.select()).scalars().all() == [1]
    engine.dispose()
    hasty.dispose()


def test_a_rule_of_the_schema_that_a_row_breaks_is_no_conflict(engine):
    table = Table("ruled", MetaData(), Column("a", Integer), CheckConstraint("a > 0", name="a"))
    with writing(engine) as connection:
        table.create(connection)

    with pytest.raises(IntegrityError), writing(engine) as connection:
        connection.execute(table.insert(), [{"a": 0}])


def test_a_server_that_is_away_is_unavailable():
    engine = connect(f"postgresql://nobody@127.0.0.1:{free_port()}/nothing")

    with pytest.raises(UnavailableError), reading(engine):
        pass

    engine.dispose()


def test_a_full_disk_writes_nothing_and_the_file_works_again_with_space(sqlite_url):
    engine = connect(sqlite_url)
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE note (a BLOB)"))

    def put_bytes(count: int, *, pages: int) -> None:
        with writing(engine) as connection:
            connection.execute(text(f"PRAGMA max_page_count = {pages}"))
            connection.execute(text(f"INSERT INTO note VALUES (zeroblob({count}))"))

    with pytest.raises(UnavailableError, match="full"):
        put_bytes(1_000_000, pages=10)
    put_bytes(10, pages=1000)

    with writing(engine) as connection:
        assert connection.execute(text("SELECT length(a) FROM note")).scalars().all() == [10]
    engine.dispose()


@pytest.mark.parametrize(("durable", "synchronous"), [(False, 1), (True, 2)])
def test_sqlite_keeps_its_rules_and_syncs_as_asked(sqlite_url, durable, synchronous):
    engine = connect(sqlite_url, durable=durable)

    with reading(engine) as connection:
        asked = ("synchronous", "foreign_keys", "busy_timeout")
        found = [connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in asked]

    engine.dispose()
    assert found == [synchronous, 1, 0]


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite://", "sqlite:///:memory:", "nonsense"])
def test_a_url_that_names_no_database_of_ours_is_a_config_error(url):
    with pytest.raises(ConfigError):
        connect(url)


def test_a_file_that_is_no_database_is_a_config_error(tmp_path):
    (tmp_path / "notes.txt").write_text("not a database " * 100)
    engine = connect(f"sqlite:///{tmp_path / 'notes.txt'}")

    with pytest.raises(ConfigError, match="not a database"), reading(engine):
        pass

    engine.dispose()


def test_tests_get_a_database_that_is_empty_and_gone_afterwards(postgres_server: Server):
    with postgres_server.fresh() as url:
        engine = connect(url)
        with reading(engine) as connection:
            tables = text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            assert connection.execute(tables).scalar_one() == 0
        engine.dispose()

    gone = connect(url)
    with pytest.raises(UnavailableError), reading(gone):
        pass
    gone.dispose()


@pytest.fixture
def leased(engine: Engine) -> Engine:
    with writing(engine) as connection:
        metadata.create_all(connection, tables=[leases.lease])
    return engine


OWNERS = ("ann", "bob", "cyd")
steps = st.lists(
    st.tuples(
        st.sampled_from(["acquire", "renew", "release", "check"]),
        st.sampled_from(OWNERS),
        st.integers(0, 300),  # each owner's own clock, which may stand still or run backwards
        st.integers(1, 100),
    ),
    max_size=25,
)


@settings(
    derandomize=True,
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps)
def test_there_is_never_a_second_holder_and_fences_strictly_grow(leased, history):
    name = uuid.uuid4().hex
    held: dict[str, leases.Lease] = {}  # what each owner believes
    standing: leases.Lease | None = None  # what is true
    fences = [0]

    for action, owner, now_ms, lease_ms in history:
        with writing(leased) as connection:
            if action == "acquire":
                clock = {"now_ms": now_ms, "lease_ms": lease_ms}
                got = leases.acquire(connection, name=name, owner=owner, **clock)
                is_free = standing is None or standing.owner == owner or standing.until_ms <= now_ms
                assert (got is not None) == is_free
                if got is not None:
                    fences.append(got.fence)
                    held[owner] = standing = got
            elif owner in held and action == "renew":
                is_mine = standing == held[owner]
                try:
                    renewed = leases.renew(
                        connection, held[owner], now_ms=now_ms, lease_ms=lease_ms
                    )
                except ConflictError:
                    assert not is_mine
                else:
                    assert is_mine
                    assert renewed.fence == held[owner].fence
                    held[owner] = standing = renewed
            elif owner in held and action == "release":
                standing = None if standing == held[owner] else standing
                leases.release(connection, held[owner])
            passing = [one for one in held.values() if passes(connection, one)]
        assert passing == ([] if standing is None else [standing])

    assert all(earlier < later for earlier, later in pairwise(fences))


def passes(connection, held: leases.Lease) -> bool:
    try:
        leases.check(connection, held)
    except ConflictError:
        return False
    return True


def test_of_many_that_ask_at_once_one_gets_the_lease(leased):
    def ask(owner: int) -> leases.Lease | None:
        with writing(leased) as connection:
            return leases.acquire(
                connection, name="controller", owner=str(owner), now_ms=0, lease_ms=100
            )

    with ThreadPoolExecutor(8) as askers:
        granted = [lease for lease in askers.map(ask, range(24)) if lease is not None]

    assert [lease.fence for lease in granted] == [1]


def test_an_expired_lease_goes_to_the_next_and_stops_its_old_holder(leased):
    with writing(leased) as connection:
        ann = leases.acquire(connection, name="relay", owner="ann", now_ms=0, lease_ms=100)
        early = leases.acquire(connection, name="relay", owner="bob", now_ms=99, lease_ms=100)
        bob = leases.acquire(connection, name="relay", owner="bob", now_ms=100, lease_ms=100)

    assert early is None
    assert (ann.fence, bob) == (1, leases.Lease("relay", "bob", 2, 200))
    for late in (leases.check, lambda c, held: leases.renew(c, held, now_ms=101, lease_ms=1)):
        with (
            pytest.raises(ConflictError, match="ann no longer holds"),
            writing(leased) as connection,
        ):
            late(connection, ann)


def test_nobody_takes_over_while_a_checked_transaction_is_open(leased, database_url):
    hasty = connect(database_url, wait_s=0.1)
    with writing(leased) as connection:
        ann = leases.acquire(connection, name="relay", owner="ann", now_ms=0, lease_ms=100)

    with writing(leased) as connection:
        leases.check(connection, ann)
        with pytest.raises(UnavailableError), writing(hasty) as other:
            leases.acquire(other, name="relay", owner="bob", now_ms=1000, lease_ms=100)

    hasty.dispose()
