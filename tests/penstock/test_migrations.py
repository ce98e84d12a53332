"""Migrations: one line of them, and they make exactly the tables that the code declares."""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent, indent

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from penstock import migrations
from penstock.migrations import VERSION_TABLE, is_declared, revisions, status, upgrade
from rollout import routes, store
from rollout.routes import upcoming
from streams import positions, presence
from streams.db import days
from streams.db.engine import reading, writing
from streams.db.metadata import metadata
from streams.errors import ConfigError
from streams.expiry import day_at
from streams.logs.base import TopicState
from streams.tables import LEDGER

ROOT = Path(__file__).parents[2]
TODAY = day_at(time.time_ns() // 1_000_000)


def differences(engine) -> list:
    """What the database lacks or has too much against the declared tables."""
    with reading(engine) as connection:
        opts = {
            "version_table": VERSION_TABLE,
            "compare_server_default": True,
            "include_name": is_declared,
        }
        return compare_metadata(MigrationContext.configure(connection, opts=opts), metadata)


def test_there_is_one_line_of_migrations_numbered_without_a_hole():
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    line = [script.revision for script in scripts.walk_revisions()]

    assert len(scripts.get_heads()) == 1
    assert revisions() == line
    assert sorted(line) == [f"{number:04}" for number in range(1, len(line) + 1)]


def test_an_empty_database_gets_exactly_the_declared_tables(engine, database_url):
    before = status(database_url)
    after = upgrade(database_url)

    assert differences(engine) == []
    assert (before.current, after.pending) == (None, ())
    assert before.pending[-1] == after.current == after.head


def test_upgrading_again_changes_nothing(database_url):
    first = upgrade(database_url)

    assert upgrade(database_url) == first == status(database_url)


def test_two_processes_that_upgrade_at_once_both_succeed(engine, database_url):
    command = "import sys; from penstock.migrations import upgrade; upgrade(sys.argv[1])"

    both = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", command, database_url], cwd=ROOT)
        for _ in range(2)
    ]

    assert [process.wait(60) for process in both] == [0, 0]
    assert differences(engine) == []


def test_the_schema_of_a_newer_release_is_refused_and_stays_as_it_is(engine, database_url):
    upgrade(database_url)
    with writing(engine) as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))

    for asked in (status, upgrade):
        with pytest.raises(ConfigError, match="9999"):
            asked(database_url)

    with reading(engine) as connection:
        found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one()
    assert found == "9999"


@pytest.fixture
def own_line(tmp_path, monkeypatch):
    """Writes migrations of a line of its own; the number is the place in it."""
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    for file in ("env.py", "script.py.mako"):
        shutil.copy(Path(migrations.__file__).parent / file, folder)
    monkeypatch.setattr(migrations, "_FOLDER", folder)

    def write(*bodies: str) -> None:
        before = None
        for number, body in enumerate(bodies, 1):
            head = f"from alembic import op\nrevision = '{number:04}'\ndown_revision = {before!r}\n"
            steps = indent(dedent(body), "    ")
            target = folder / "versions" / f"{number:04}_step.py"
            target.write_text(f"{head}def upgrade():\n{steps}\n")
            before = f"{number:04}"

    return write


def test_an_upgrade_that_fails_has_changed_nothing(own_line, engine, database_url):
    own_line("op.execute('CREATE TABLE first (a INTEGER)')", "op.execute('SELECT 1'); 1 / 0")

    with pytest.raises(ZeroDivisionError):
        upgrade(database_url)

    with reading(engine) as connection:
        assert engine.dialect.get_table_names(connection) == []


def test_rebuilding_a_table_keeps_the_rows_that_point_to_it(own_line, engine, database_url):
    own_line(
        """
        op.execute("CREATE TABLE parent (a INTEGER PRIMARY KEY, b INTEGER)")
        op.execute("CREATE TABLE child (a INTEGER REFERENCES parent (a) ON DELETE CASCADE)")
        op.execute("INSERT INTO parent VALUES (1, 1)")
        op.execute("INSERT INTO child VALUES (1)")
        """,
        """
        with op.batch_alter_table("parent") as batch:
            batch.alter_column("b", nullable=False)
        """,
    )

    upgrade(database_url)

    with reading(engine) as connection:
        assert connection.execute(text("SELECT a FROM child")).scalars().all() == [1]


FILLED = {
    "answer": "day, pid16, 1, 1, 0, 0, 0, ms, 0, 1, 0, 0, NULL, 0, 1, NULL, 1, 3, NULL, 0, 0, 0, 0",
    "answer_blob": "day, pid16, 1, 1, pid16",
    "confirmation": "day, pid16, 1, 1, 0, 0, 0, ms",
    "label": "day, pid16, 1, 1, pid16, 0, 1, NULL, ms, 0, 0, 0, 0, 0",
    "label_blob": "day, pid16, 1, 1, pid16, pid16",
}


def held(engine) -> dict[str, list]:
    with reading(engine) as connection:
        return {
            name: connection.execute(text(f"SELECT * FROM {name} ORDER BY day, pid16")).all()
            for name in FILLED
        }


@pytest.mark.parametrize("rows", [0, 300])
def test_a_ledger_in_one_piece_is_upgraded_to_days_and_keeps_its_rows(engine, database_url, rows):
    is_server = engine.dialect.name == "postgresql"
    with writing(engine) as connection:
        command.upgrade(migrations._config(connection), "0001")
        number = "n" if is_server else "CAST(n AS TEXT)"
        pid16 = (
            "decode(lpad(to_hex(n), 32, '0'), 'hex')" if is_server else f"CAST({number} AS BLOB)"
        )
        # Day 0, a day of long ago, one far ahead, and some around today.
        day = "CASE n % 5 WHEN 0 THEN 0 WHEN 1 THEN 7 WHEN 2 THEN 13000 ELSE :today - n % 3 END"
        for name, values in FILLED.items():
            chosen = values.replace("pid16", pid16).replace("ms", "n").replace("day", f"({day})")
            series = (
                "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < :rows)"
            )
            filled = f"INSERT INTO {name} {series} SELECT {chosen} FROM s WHERE n <= :rows"
            connection.execute(text(filled), {"today": TODAY, "rows": rows})
    before = held(engine)

    upgrade(database_url)

    assert len(before["answer"]) == rows
    assert held(engine) == before
    assert differences(engine) == []
    if is_server:
        with reading(engine) as connection:
            found = {table.name: days.existing(connection, table) for table in LEDGER}
        expected = {TODAY - k for k in range(3)} if rows else set()
        assert found == dict.fromkeys(FILLED, expected)


def test_a_worker_of_the_release_before_goes_on_beside_the_table_of_processes(engine, database_url):
    with writing(engine) as connection:
        command.upgrade(migrations._config(connection), "0002")
    topic = TopicState("events", "id", 1)
    here = {"consumer": "intake", "topic": "events"}
    with writing(engine) as connection:
        claimed = positions.claim(
            connection, consumer="intake", topic=topic, partitions=[0], owner="old", now_ms=1
        )

    upgrade(database_url)

    step = positions.Moved(0, claimed[0].fence, 0, 5, 1)
    with writing(engine) as connection:
        positions.advance(connection, **here, moved=[step], now_ms=2)
    with reading(engine) as connection:
        assert positions.standing(connection, **here)[0].next == 5
        assert presence.listed(connection) == []
        (holder,) = presence.holders(connection, **here)
    assert (holder.owner, holder.updated_ms) == ("old", 2)


def test_a_release_before_ingests_beside_the_table_of_routes(engine, database_url):
    with writing(engine) as connection:
        command.upgrade(migrations._config(connection), "0003")
        presence.forget(connection, before_ms=1)

    upgrade(database_url)

    assert differences(engine) == []
    with reading(engine) as connection:
        assert routes.newest(connection) == []
        assert presence.listed(connection) == []


def test_a_release_before_counts_beside_the_tables_of_rollouts(engine, database_url):
    with writing(engine) as connection:
        command.upgrade(migrations._config(connection), "0005")
        old = upcoming(connection, "spam", "inbox").table(
            salt="s", champion="41", challengers=[], expires_at=1
        )
        routes.publish(connection, old)

    upgrade(database_url)

    assert differences(engine) == []
    with reading(engine) as connection:
        assert store.summaries(connection) == []
        assert routes.newest(connection) == [old]
        assert upcoming(connection, "spam", "inbox").version == old.version + 1
