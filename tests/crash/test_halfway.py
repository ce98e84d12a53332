"""SIGKILL between any two statements of an append to the log, and of an installation's making."""

from contextlib import closing
from itertools import count

import pytest

from penstock.installation import opened, prepare
from penstock.settings import Settings
from streams import installation
from streams.db.engine import reading
from streams.errors import Error
from streams.logs.embedded import EmbeddedLog
from streams.topics import TOPICS
from tests.crash.dying import lives, pipe
from tests.streams import spine

PARTITIONS = 3
APPENDS = [
    [(0, b"a0"), (1, b"a1"), (0, b"a2")],
    [(2, b"b0")],
    [(1, b"c0"), (1, b"c1"), (2, b"c2"), (0, b"c3")],
]


def append_all(path, told):
    with closing(EmbeddedLog(path, clock=spine.Hands())) as log:
        log.ensure("events", PARTITIONS)
        for number, values in enumerate(APPENDS):
            log.append("events", values)
            told.send(number)


def acknowledged(k, path):
    """How many appends were acknowledged by a process that dies before statement k."""
    hears, told = pipe()
    with hears:
        with told:
            alive = lives(k, append_all, path, told)
        done = 0
        while hears.poll():
            try:
                done = hears.recv() + 1
            except EOFError:
                break
        return alive, done


def held(log):
    """What each partition holds, in order; offsets leave no gap."""
    found = {partition: [] for partition in range(PARTITIONS)}
    with closing(log.reader("events", group="test")) as reader:
        for partition in found:
            reader.seek(partition, 0)
        while records := reader.poll(max_bytes=1_000, timeout_s=0):
            for record in records:
                assert record.offset == len(found[record.partition])
                found[record.partition].append(record.value)
    return found


def after(appends):
    values = [value for append in appends for value in append]
    return {p: [v for partition, v in values if partition == p] for p in range(PARTITIONS)}


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.crash)])
def test_a_log_holds_whole_appends_and_every_acknowledged_one(tmp_path, step):
    for k in count(0, step):
        path = tmp_path / f"{k}.db"
        alive, done = acknowledged(k, path)

        with closing(EmbeddedLog(path, clock=spine.Hands())) as log:
            log.ensure("events", PARTITIONS)
            before = held(log)
            assert before in (after(APPENDS[:done]), after(APPENDS[: done + 1])), k
            log.append("events", [(0, b"next")])
            assert held(log) == before | {0: [*before[0], b"next"]}, k
        if alive:
            break
    assert (done, k > 40) == (len(APPENDS), True)


# Its statements grow with the schema: of all of them every seventh, else CI has no time for it.
@pytest.mark.parametrize("step", [41, pytest.param(7, marks=pytest.mark.crash)])
def test_an_installation_killed_in_the_making_is_made_by_the_next_start(tmp_path, step):
    for k in count(0, step):
        settings = Settings(data_dir=tmp_path / str(k))
        alive = lives(k, prepare, settings)
        secret = _secret(settings)

        prepare(settings)

        with opened(settings) as here:
            assert {here.log.state(topic).partitions for topic in TOPICS} == {settings.partitions}
        assert secret in (None, _secret(settings)), f"killed before statement {k}"
        if alive:
            break
    print(f"\n{k} statements make an installation")


def _secret(settings):
    """The installation's secret, if it has one yet."""
    try:
        with opened(settings) as here, reading(here.engine) as connection:
            return installation.secret(connection)
    except Error:
        return None
