"""A service with real data: every request is answered by all its versions, and the truth comes a
day later. The pass, the judge and the controller are the product's; time is the data's own.
"""

import json
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

from rollout import kept, routes, store
from rollout.acting import Ask, decide
from rollout.assignment import arm_of
from rollout.collector import Rollouts
from rollout.courses import Kind
from rollout.decisions import Judged, Person
from rollout.levels import levels
from rollout.opening import freeze
from rollout.spec import read
from rollout.stages import Signal
from rollout.watching import watch
from streams.db.engine import reading, writing
from streams.models import DAY_MS
from tests.streams import spine

BETWEEN_MS = 5 * 60_000  # from a look, and a decision, to the next request
LABEL_MS = DAY_MS


class Request(NamedTuple):
    """What each version answers, by its name, and what is true."""

    answers: dict[str, str]
    truth: str


class Site:
    """One route of one model; `per_day` requests come evenly through the day."""

    def __init__(self, engine: Any, model: Any, *, per_day: int) -> None:
        spine.prepare(engine, [(model, spine.T0)])
        self.engine, self.now_ms, self.made = engine, spine.T0, []
        self._model, self._per_day = model.model, per_day
        self._log = spine.ListLog(spine.Hands(), partitions=1)
        self._pass = spine.pipeline(self._log, engine, collectors=[Rollouts()])
        self._later: list[tuple[int, bytes]] = []

    def begin(self, text: str) -> None:
        """The rollout has its first traffic, or shadow."""
        declared = read(text.encode())[0]
        self.name = declared.metadata.name
        with writing(self.engine) as connection:
            store.create(connection, declared, reason="r", now_ms=self.now_ms, by="ann", salt="s")
        cause = Person(name="ann", reason="it is time", via="cli", groups=())
        for signal in (Signal.PLAN, Signal.START):
            ask = Ask(rollout=self.name, signal=signal, cause=cause)
            decide(self.engine, ask, now_ms=self.now_ms, wall_ms=self.now_ms, freezing=freeze)
        self.made = []

    def day(self, requests: list[Request]) -> Kind:
        """A day's requests, counted and looked at; where the rollout stands then."""
        with reading(self.engine) as connection:
            table = next(iter(routes.newest(connection)), None)
        step = DAY_MS // self._per_day
        for k, request in enumerate(requests):
            self._later += self._events(table, request, self.now_ms + BETWEEN_MS + k * step)
        self.now_ms += DAY_MS
        self._later.sort()
        due = [line for at_ms, line in self._later if at_ms <= self.now_ms]
        self._later = self._later[len(due) :]
        self._log.clock.now_ms = self.now_ms
        self._log.put(0, self.now_ms, due)
        spine.settle(self._pass, self._log, self.engine)
        made = watch(self.engine, self.name, now_ms=self.now_ms, wall_ms=self.now_ms)
        if made is not None:
            self.made.append(made)
        with reading(self.engine) as connection:
            return store.standing(connection, self.name).state.place.kind

    def verdicts(self) -> dict[str, Judged]:
        """What the newest look says, by metric, over all traffic."""
        return {v.metric: v for v in self._record().judged if not v.slice}

    def per_day(self, metric: str) -> tuple[float, float]:
        """The champion's and the challenger's bad outcomes a day, by their shares in the look."""
        record = self._record()
        (judged,) = [v for v in record.judged if v.metric == metric and not v.slice]
        champion, challenger = levels(record, judged)
        return champion * self._per_day, challenger * self._per_day

    def serving(self) -> str:
        """The version that answers a request of no challenger."""
        with reading(self.engine) as connection:
            return routes.newest(connection)[0].champion.version

    def _record(self) -> Any:
        with reading(self.engine) as connection:
            return kept.newest(connection, self.name).record

    def _events(self, table: Any, request: Request, at_ms: int) -> Iterator[tuple[int, bytes]]:
        """The answer that counts, the other ones in shadow, and the truth a day later."""
        pid = str(uuid.UUID(int=at_ms << 80 | 7 << 76 | 2 << 62 | len(self._later)))
        live, routed = "41", {}
        if table is not None:
            arm = arm_of(table, pid, {})
            live, routed = arm.version, {"arm": arm.arm, "route_version": table.version}
        for version, label in request.answers.items():
            said = routed if version == live else {"role": "shadow"}
            yield self._event(
                "prediction", pid, at_ms, version=version, output={"label": label}, **said
            )
        yield self._event("label", pid, at_ms + LABEL_MS, label_id=pid, label=request.truth)

    def _event(self, kind: str, pid: str, at_ms: int, **fields: Any) -> tuple[int, bytes]:
        named = {"type": f"io.penstock.{kind}.v1", "model": self._model, "prediction_id": pid}
        return at_ms, json.dumps({**named, "time": at_ms, **fields}).encode()
