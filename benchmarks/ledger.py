"""What PostgreSQL's ledger costs: a row inserted, a day dropped, a ledger upgraded to days.

python -m benchmarks.ledger [--json] [--rows N]
"""

import argparse
import random
import time
from collections.abc import Iterator
from typing import Any

from alembic import command
from sqlalchemy import Engine, text

from benchmarks.figures import Figure, tell
from penstock import migrations
from streams import expiry
from streams.db import bulk, days
from streams.db.engine import connect, reading, writing
from streams.tables import answer
from tests.contracts import postgres

BATCH = 5_000
START_MS = 1_750_000_000_000
DAY = expiry.day_at(START_MS)


def batches(rows: int) -> Iterator[list[tuple[Any, ...]]]:
    """Full rows of one day, in the order of their time as a client's own ids are."""
    draw = random.Random(1)
    for start in range(0, rows, BATCH):
        yield sorted(
            (DAY, (START_MS + k).to_bytes(6, "big") + b"\x70" + draw.randbytes(9), 1, 1 + k % 2,
             k % 12, k // 1200, k // 12 % 100, START_MS + k, k % 2, 1, 1, 3, draw.getrandbits(62),
             draw.getrandbits(8), 1, None, draw.random() if k % 20 else None, 7,
             12_000 if k % 3 else None, 0, 0, 0, 0)
            for k in range(start, start + BATCH)
        )  # fmt: skip


def inserted(engine: Engine, rows: int) -> tuple[float, float]:
    """Seconds of this process's CPU and of the clock to insert them, a commit for each batch."""
    cpu_s = wall_s = 0.0
    for batch in batches(rows):
        cpu, wall = time.process_time(), time.perf_counter()
        with writing(engine) as connection:
            bulk.insert(connection, answer, batch)
        cpu_s += time.process_time() - cpu
        wall_s += time.perf_counter() - wall
    return cpu_s, wall_s


def figures(rows: int) -> Iterator[Figure]:
    server = postgres.start(lasting=True)
    try:
        with server.fresh() as url:
            yield from _daily(server, url, rows)
        with server.fresh() as url:
            yield _upgraded(url, rows)
    finally:
        server.stop()


def _daily(server: postgres.Server, url: str, rows: int) -> Iterator[Figure]:
    migrations.upgrade(url)
    engine = connect(url)
    with writing(engine) as connection:
        days.make(connection, answer, [DAY])
    before_s = server.cpu_s()
    cpu_s, wall_s = inserted(engine, rows)
    served_s = server.cpu_s() - before_s
    yield Figure("ledger.postgres.insert", rows / wall_s, "rows/s", "shown", f"batches of {BATCH}")
    yield Figure("ledger.postgres.insert.client", cpu_s / rows * 1e6, "us CPU a row", "shown", "-")
    yield Figure(
        "ledger.postgres.insert.server", served_s / rows * 1e6, "us CPU a row", "shown", "-"
    )
    with reading(engine) as connection:
        size = text(f"SELECT pg_total_relation_size('{days.name_of(answer.name, DAY)}')")
        held = connection.execute(size).scalar_one()
    yield Figure("ledger.postgres.bytes", held / rows, "bytes a row", "shown", "with its index")
    started = time.perf_counter()
    with writing(engine) as connection:
        expiry.expire(connection, before_ms=START_MS + 2 * 86_400_000)
    took_ms = (time.perf_counter() - started) * 1000
    yield Figure("ledger.postgres.drop.ms", took_ms, "ms", "shown", f"a day of {rows:,} rows")
    engine.dispose()


def _upgraded(url: str, rows: int) -> Figure:
    """The ledger of the first release, in one piece, brought to days."""
    engine = connect(url)
    with writing(engine) as connection:
        command.upgrade(migrations._config(connection), "0001")
    inserted(engine, rows)
    engine.dispose()
    started = time.perf_counter()
    migrations.upgrade(url)
    took_s = time.perf_counter() - started
    return Figure("ledger.postgres.upgrade", rows / took_s, "rows/s", "shown", "0001 to 0002")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    for figure in figures(options.rows):
        tell(figure, as_json=options.json)


if __name__ == "__main__":
    main()
