"""A service under a rollout: it asks the newest route table, and everything it sends is counted by
the real pass, watched and decided on by the real controller, on a database in memory.
"""

import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from sqlalchemy import Engine

from benchmarks.policy import traffic
from benchmarks.policy.traffic import HOUR_MS, Hour, Rng
from penstock.migrations import upgrade
from rollout import kept, routes, store
from rollout.acting import Ask, decide
from rollout.assignment import RouteTable, arm_of
from rollout.collector import Rollouts
from rollout.courses import Kind
from rollout.decisions import Decision, Person
from rollout.judge import Record
from rollout.opening import freeze
from rollout.spec import read
from rollout.stages import Signal
from rollout.watching import watch
from streams.db.engine import connect, reading, writing
from tests.streams import spine

Sent = tuple[int, bytes]  # an event and its time

BETWEEN_MS = 5 * 60_000  # from a look, and a decision, to the next batch
_SHM = Path("/dev/shm")
_ENCODER = msgspec.json.Encoder()


@contextmanager
def template() -> Iterator[Path]:
    """A database with the model declared, to be copied for each run; where there is one, in RAM."""
    with tempfile.TemporaryDirectory(dir=_SHM if _SHM.is_dir() else None) as name:
        path = Path(name, "template.db")
        upgrade(f"sqlite:///{path}")
        engine = connect(f"sqlite:///{path}")
        spine.prepare(engine, [(traffic.MODEL, spine.T0)])
        engine.dispose()
        yield path


@contextmanager
def database(template: Path) -> Iterator[Engine]:
    """A copy of it, for one run."""
    with tempfile.TemporaryDirectory(dir=template.parent) as name:
        path = Path(name, "run.db")
        shutil.copy(template, path)
        engine = connect(f"sqlite:///{path}")
        try:
            yield engine
        finally:
            engine.dispose()


class Service:
    """One route of one model, hour by hour."""

    def __init__(self, engine: Engine, text: bytes = traffic.TEXT) -> None:
        self.engine, self.now_ms = engine, spine.T0
        """When somebody looks, and decides: between two batches."""
        self.batch_ms = spine.T0 + BETWEEN_MS
        self._declared = read(text)[0]
        self._name = self._declared.metadata.name
        self._log = spine.ListLog(spine.Hands(), partitions=1)
        self._pass = spine.pipeline(self._log, engine, collectors=[Rollouts()])
        self._later: list[Sent] = []

    def begin(self, rng: Rng) -> None:
        """The rollout exists, with a salt of this run, and has its first traffic, or shadow."""
        salt = rng.spawn(1)[0].bytes(8).hex()
        with writing(self.engine) as connection:
            store.create(
                connection, self._declared, reason="simulated", now_ms=self.now_ms, by="ann",
                salt=salt,
            )  # fmt: skip
        self.say(Signal.PLAN)
        self.say(Signal.START)

    def say(self, signal: Signal) -> Decision:
        """A person decides, by whatever evidence there is."""
        cause = Person(name="ann", reason="simulated", via="cli", groups=())
        ask = Ask(rollout=self._name, signal=signal, cause=cause)
        return decide(self.engine, ask, now_ms=self.now_ms, wall_ms=self.now_ms, freezing=freeze)

    def kind(self) -> Kind:
        """Where the rollout stands."""
        with reading(self.engine) as connection:
            return store.standing(connection, self._name).state.place.kind

    def table(self) -> RouteTable | None:
        """Who answers the next batch; None: the champion, by no table."""
        with reading(self.engine) as connection:
            return next(iter(routes.newest(connection)), None)

    def send(self, sent: Iterable[Sent]) -> None:
        """An hour passes: what happens in it is counted, what happens later is kept for then."""
        self.now_ms += HOUR_MS
        self.batch_ms += HOUR_MS
        known = sorted([*self._later, *sent])
        due = [line for at_ms, line in known if at_ms <= self.now_ms]
        self._later = known[len(due) :]
        self._log.clock.now_ms = self.now_ms
        self._log.put(0, self.now_ms, due)
        spine.settle(self._pass, self._log, self.engine)

    def look(self) -> tuple[Decision | None, Record | None]:
        """The decision that was due, and what it was seen in."""
        made = watch(self.engine, self._name, now_ms=self.now_ms, wall_ms=self.now_ms)
        with reading(self.engine) as connection:
            newest = kept.newest(connection, self._name)
        return made, None if newest is None else newest.record


def answered(batch: Hour, table: RouteTable | None, rng: Rng) -> Iterator[Sent]:
    """Each request's answer by the version that the table names, label and, of who buys, spend."""
    for k, at_ms in enumerate(batch.at_ms.tolist()):
        pid = request_id(at_ms, rng)
        answer: dict[str, object] = {"version": "41"}
        if table is not None:
            arm = arm_of(table, pid, batch.tags[k])
            answer = {"version": arm.version, "arm": arm.arm, "route_version": table.version}
        made = batch.outcomes[answer["version"] == "42"]
        label = "spam" if made.says_spam[k] else "ham"
        said = {"error": {"type": "Timeout"}} if made.error[k] else {"output": {"label": label}}
        latency = round(float(made.latency_ms[k]), 3)
        yield event(
            "prediction", pid, at_ms, **answer, **said, tags=batch.tags[k], latency_ms=latency
        )
        truth = "spam" if batch.is_spam[k] else "ham"
        yield event("label", pid, int(batch.label_ms[k]), label_id=pid, label=truth)
        if made.spend[k]:
            yield event(
                "feedback", pid, int(batch.buys_ms[k]), feedback_id=pid, name="revenue",
                value=round(float(made.spend[k]), 2),
            )  # fmt: skip


def request_id(at_ms: int, rng: Rng) -> str:
    """A UUIDv7 of this time."""
    low, high = int(rng.integers(1 << 62)), int(rng.integers(1 << 12))
    return str(uuid.UUID(int=at_ms << 80 | 7 << 76 | high << 64 | 2 << 62 | low))


def event(kind: str, pid: str, at_ms: int, **fields: object) -> Sent:
    """One event and its time."""
    named = {"type": f"io.penstock.{kind}.v1", "model": "spam", "prediction_id": pid}
    return at_ms, _ENCODER.encode({**named, "time": at_ms, **fields})
