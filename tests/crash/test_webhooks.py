"""Law 3 for webhooks: whoever is killed when, every decision arrives at every webhook, and what
arrives twice has the same id.
"""

from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from penstock.listening import Listening
from penstock.outbound.fetcher import Fetcher
from penstock.outbound.rules import read_rules
from penstock.webhooks import keeping, signing
from penstock.webhooks.delivering import Deliverer
from penstock.webhooks.telling import Teller
from rollout import editing, store
from rollout.acting import Ask, decide
from rollout.decisions import Person
from rollout.stages import Signal
from streams import deliveries, installation
from streams.db.clock import Clock
from streams.db.engine import connect, reading, writing
from streams.logs.embedded import EmbeddedLog
from streams.relay import Relay
from streams.topics import DECISIONS
from tests.crash.dying import lives
from tests.penstock.receivers import Receiver, says
from tests.rollout.test_acting import declared
from tests.streams import spine

ANN = Person(name="ann", reason="it is time")
STORY = (Signal.PLAN, Signal.START, Signal.ROLLBACK)
NAME = declared().metadata.name


class Here:
    """What control works on; `penstock.installation.opened` without its files."""

    def __init__(self, url: str, log_path: Path) -> None:
        self.engine = connect(url, durable=True)
        self.log = EmbeddedLog(log_path, clock=Clock())
        self.clock = Clock()

    def close(self) -> None:
        self.log.close()
        self.engine.dispose()


def control(url: str, log_path: Path) -> None:
    """The story goes on from where it stands, and everything that is due is told of it."""
    with closing(Here(url, log_path)) as here:
        heard = Listening(
            here, DECISIONS, consumer="webhooks", owner="c", handle=Teller(here.clock).handle
        )
        rules = read_rules(prefixes="http://", networks="127.0.0.1")
        deliverer = Deliverer(here.engine, Fetcher(rules))
        relay = Relay(here.log, here.engine, owner="c", clock=here.clock)
        for at in range(seq(here.engine), len(STORY)):
            ask = Ask(rollout=NAME, signal=STORY[at], cause=ANN, seen_seq=at)
            decide(here.engine, ask, now_ms=spine.T0 + at, wall_ms=spine.T0 + at)
            told(relay, heard, deliverer)
        told(relay, heard, deliverer)
        heard.close()


def told(relay, heard, deliverer):
    while relay.step():
        pass
    while heard.step():
        pass
    deliverer.step()
    assert deliverer.wait(20)


def seq(engine):
    with reading(engine) as connection:
        return store.standing(connection, NAME).state.seq


def waiting(engine):
    with reading(engine) as connection:
        return deliveries.waiting(connection)


def hurried(engine):
    """Claims of the dead have run out, and delays are over."""
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE webhook_delivery SET due_ms = 1 WHERE due_ms > 0")


@pytest.fixture
def receivers():
    """One that is well, and one whose every second answer is 500."""
    found = [Receiver(), Receiver(*[says(500), says(200)] * 1_000)]
    yield found
    for each in found:
        each.close()


@pytest.fixture
def databases(database_url, tmp_path):
    made = spine.Databases(database_url, tmp_path).prepare([])
    yield made
    made.dispose()


@pytest.mark.crash
def test_every_decision_arrives_at_every_webhook_whoever_is_killed(databases, receivers, tmp_path):
    def ends(k):
        """Whether the first process lived; the ids that each receiver got; what is not settled."""
        with databases.fresh() as engine:
            url, log_path = engine.url.render_as_string(hide_password=False), tmp_path / f"{k}.log"
            with closing(EmbeddedLog(log_path, clock=Clock())) as log:
                log.ensure(DECISIONS.name, 2)
            with writing(engine) as connection:
                editing.create(connection, declared(), who=ANN, now_ms=spine.T0)
            fetcher = Fetcher(read_rules(prefixes="http://", networks=""))
            for receiver in receivers:
                receiver.got.clear()
                keeping.create(
                    engine, fetcher, url=receiver.url, models=["*"], description="", by="ann"
                )
            alive = lives(k, control, url, log_path)
            control(url, log_path)
            for _ in range(8):  # as often as one of them is out of order
                if not waiting(engine):
                    break
                hurried(engine)
                control(url, log_path)
            got = [{each.id: each.body for each in receiver.got} for receiver in receivers]
            states = [d.state for w in keeping.listed(engine) for d in all_of(engine, w.id)]
            return alive, got, states, expected(engine)

    for k in count(3, 23):
        alive, got, states, ids = ends(k)
        assert [set(each) for each in got] == [ids, ids], f"killed before statement {k}"
        assert got[0] == got[1]
        assert states == ["delivered"] * 2 * len(STORY), f"killed before statement {k}"
        if alive:
            break
    print(f"\n{k} statements")
    assert k > len(STORY) * 10


def all_of(engine, webhook_id):
    return keeping.told(engine, webhook_id, limit=100)


def expected(engine):
    with reading(engine) as connection:
        ours = installation.installation_id(connection)
    return {signing.message_id(ours, f"decision/{NAME}/{k + 1}") for k in range(len(STORY))}
