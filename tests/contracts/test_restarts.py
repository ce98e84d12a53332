"""PostgreSQL crashes in the middle of a pass: nothing is lost and nothing counted twice."""

import json
import threading
import time
from collections.abc import Iterator

import pytest

from penstock.migrations import upgrade
from streams.db.engine import connect, reading, writing
from streams.errors import UnavailableError
from streams.tables import answer
from tests.contracts import postgres
from tests.streams import spine

PARTITIONS = 3
EVENTS = 6_000


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    try:
        server = postgres.start(lasting=True)
    except postgres.MissingError as missing:
        pytest.skip(f"no PostgreSQL here: {missing}")
    yield server
    server.stop()


def an_answer(number: int) -> bytes:
    request = f"{spine.T0 + number * 1000:012x}"
    request = f"{request[:8]}-{request[8:]}-7000-8000-{number:012x}"
    return json.dumps({
        "type": "io.penstock.prediction.v1", "model": "spam", "version": f"v{number % 2}",
        "prediction_id": request, "time": spine.T0 + number,
        "output": {"label": "ham" if number % 3 else "spam"},
    }).encode()  # fmt: skip


def a_log() -> spine.ListLog:
    """Each event is there, and every tenth a second time."""
    log = spine.ListLog(spine.Hands(), partitions=PARTITIONS)
    for number in range(0, EVENTS, 20):
        lines = [an_answer(k) for k in range(number, number + 20)]
        log.put(number // 20 % PARTITIONS, spine.T0, [*lines, *lines[::10]])
    return log


def counted(engine) -> dict[str, object]:
    found = spine.content(engine)
    return {name: found[name] for name in ("answers", "cells", "totals", "positions", "dead")}


def test_a_crash_of_the_server_in_the_middle_of_a_pass_loses_and_doubles_nothing(server):
    with server.fresh() as url, server.fresh() as calm_url:
        engine, calm = placed(url), placed(calm_url)
        spine.pipeline(a_log(), calm).drain()
        log = a_log()
        log.cuts.extend([3] * 1_000)
        stop = threading.Event()
        worker = spine.pipeline(log, engine)
        running = threading.Thread(target=worker.run, args=(stop,))

        running.start()
        for _ in range(3):
            reached = worker.taken.events
            while worker.taken.events < reached + EVENTS // 8:
                time.sleep(0.001)
            server.restart("immediate")
        deadline = time.monotonic() + 60
        while rows(engine) < EVENTS and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
        running.join()
        found, expected = counted(engine), counted(calm)
        engine.dispose()
        calm.dispose()

    assert len(expected["answers"]) == EVENTS
    assert found == expected


def test_a_session_of_before_a_crash_is_replaced_and_the_transaction_was_not_there(server):
    with server.fresh() as url:
        engine = placed(url)

        def crossed() -> None:
            with writing(engine) as connection:
                spine.installation.keep_tick(connection, 1)
                server.restart("immediate")
                spine.installation.keep_tick(connection, 2)

        with pytest.raises(UnavailableError):
            crossed()
        with reading(engine) as connection:
            assert spine.installation.last_tick(connection) is None
        engine.dispose()


def placed(url: str):
    upgrade(url)
    engine = connect(url, connections=2)
    spine.prepare(engine)
    return engine


def rows(engine) -> int:
    with reading(engine) as connection:
        return len(connection.execute(answer.select().with_only_columns(answer.c.day)).all())
