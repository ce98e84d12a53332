"""Law 3 for webhooks: whoever is killed when, every decision arrives at every webhook, and what
arrives twice has the same id.
"""

import time
from contextlib import closing, suppress
from itertools import chain, count, cycle
from pathlib import Path

import pytest

from penstock.installation import opened, prepare
from penstock.listening import Listening
from penstock.outbound.fetcher import Fetcher
from penstock.outbound.rules import read_rules
from penstock.settings import Settings
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
from streams.errors import ConflictError, IllegalTransitionError
from streams.logs.embedded import EmbeddedLog
from streams.relay import Relay
from streams.topics import DECISIONS
from tests.contracts.postgres import free_port
from tests.crash.dying import lives
from tests.crash.killing import Killer, Service
from tests.penstock.receivers import Receiver
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
    """One that is well, and one that takes nothing when it sees it first."""
    seen = set()

    def refuses_first(handler):
        fresh = handler.headers["webhook-id"] not in seen
        seen.add(handler.headers["webhook-id"])
        handler.answer(500 if fresh else 200)

    found = [Receiver(), Receiver(otherwise=refuses_first)]
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
            return alive, got, states, expected(engine, len(STORY))

    for k in count(3, 37):
        alive, got, states, ids = ends(k)
        assert [set(each) for each in got] == [ids, ids], f"killed before statement {k}"
        assert got[0] == got[1]
        assert states == ["delivered"] * 2 * len(STORY), f"killed before statement {k}"
        if alive:
            break
    print(f"\n{k} statements")
    assert k > len(STORY) * 10


def all_of(engine, webhook_id):
    return keeping.told(engine, webhook_id, limit=1_000)


def expected(engine, made):
    with reading(engine) as connection:
        ours = installation.installation_id(connection)
    return {signing.message_id(ours, f"decision/{NAME}/{k + 1}") for k in range(made)}


@pytest.fixture
def up(tmp_path, monkeypatch):
    """A `penstock up` that may send to this machine, of which control is killed most."""
    monkeypatch.setenv("PENSTOCK_OUTBOUND_PREFIXES", "http://")
    monkeypatch.setenv("PENSTOCK_OUTBOUND_NETWORKS", "127.0.0.1")
    settings = Settings(data_dir=tmp_path / "data", port=free_port())
    prepare(settings)
    service = Service(settings, tmp_path / "up.log")
    service.kinds = ("up", "control", "control")
    yield service
    service.kill()


@pytest.mark.crash
def test_ten_kills_at_random_instants_keep_no_decision_from_any_webhook(up, receivers):
    killer = Killer(up, seed=1, gap_s=(0.8, 2.5))
    killer.allowed = 10
    with opened(up.settings) as here:
        with writing(here.engine) as connection:
            editing.create(connection, declared(), who=ANN, now_ms=spine.T0)
        fetcher = Fetcher(read_rules(prefixes="http://", networks=""))
        for receiver in receivers:
            keeping.create(
                here.engine, fetcher, url=receiver.url, models=["*"], description="", by="ann"
            )
        story = chain(STORY[:2], cycle((Signal.PAUSE, Signal.RESUME)))
        while killer.kills.total() < killer.allowed:
            killer.tend()
            ask = Ask(rollout=NAME, signal=next(story), cause=ANN)
            with suppress(ConflictError, IllegalTransitionError):
                decide(here.engine, ask, now_ms=here.now_ms(), wall_ms=here.now_ms())
            time.sleep(0.1)
        made = seq(here.engine)
        ids = expected(here.engine, made)
        deadline = time.monotonic() + 120
        while (told := taken(here.engine)) != 2 * made and time.monotonic() < deadline:
            up.keep_up()
            time.sleep(0.2)

    print(f"\n{made} decisions, killed {dict(killer.kills)}")
    assert [known(receiver) for receiver in receivers] == [ids, ids]
    assert told == 2 * made
    assert "Traceback" not in up.said, up.said


def taken(engine):
    told = [each for w in keeping.listed(engine) for each in all_of(engine, w.id)]
    return sum(each.state == "delivered" for each in told)


def known(receiver):
    return {each.id for each in list(receiver.got)}
