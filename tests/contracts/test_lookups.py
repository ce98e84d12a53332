"""PostgreSQL looks up what is asked for, however young and large the table is.

A table that has just grown has no statistics, and the planner then likes to read all of it.
"""

import numpy as np
import pytest
from sqlalchemy import text

from streams import counters
from streams.db import bulk
from streams.db.engine import connect, reading, writing
from streams.ledger import Orphan
from streams.tables import metadata, orphan

STORED, ASKED = 20_000, 300


@pytest.fixture
def young(postgres_url):
    """An engine on tables that nothing has analysed, nor will."""
    engine = connect(postgres_url)
    with writing(engine) as connection:
        for name in ("orphan", "counter", "counter_total"):
            metadata.tables[name].create(connection)
            if name != "counter_total":
                connection.execute(text(f"ALTER TABLE {name} SET (autovacuum_enabled = off)"))
    yield engine
    engine.dispose()


def rows_read(connection, table):
    """Rows of `table` that this transaction has read so far."""
    return connection.execute(
        text(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables"
            " WHERE relname = :table"
        ),
        {"table": table},
    ).scalar_one()


def test_a_batch_of_ids_costs_its_own_rows(young):
    ids = [k.to_bytes(16, "big") for k in range(STORED)]
    with writing(young) as connection:
        bulk.insert(
            connection, orphan, [Orphan(7, i, 1, 1, b"8" * 8, 0, 0, 0, 0, 0, 0, b"") for i in ids]
        )
    asked = [bulk.request_key(7, i, 1) for i in ids[:: STORED // ASKED]]
    with reading(young) as connection:
        found = bulk.by_request(connection, orphan, asked, columns=("pid16",))
        assert len(found) == len(asked)
        assert rows_read(connection, "orphan") <= 2 * len(asked)


def test_a_batch_of_counters_costs_its_own_rows(young):
    one = np.ones(1, np.int64)
    vectors = {(f"pipe/{k}", 0, 0): counters.Delta(one, due_ms=1_000 + k) for k in range(STORED)}
    with writing(young) as connection:
        counters.save(connection, counters.Deltas(vectors))
    asked = dict(list(vectors.items())[:: STORED // ASKED])
    with writing(young) as connection:
        counters.save(connection, counters.Deltas(asked))
        assert rows_read(connection, "counter") <= 4 * len(asked)  # read, and written over


def test_freezing_reads_what_is_due(young):
    one = np.ones(1, np.int64)
    vectors = {(f"pipe/{k}", 0, 0): counters.Delta(one, due_ms=1_000 + k) for k in range(STORED)}
    with writing(young) as connection:
        counters.save(connection, counters.Deltas(vectors))
    with writing(young) as connection:
        assert counters.freeze(connection, {0: 1_000 + ASKED}) == ASKED
        assert rows_read(connection, "counter") <= 4 * ASKED
