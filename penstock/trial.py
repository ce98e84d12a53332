"""A rollout tried on recorded traffic: a scratch store, the same intake, judge and controller.

Time is that of the events, and passes as fast as they are counted. Nothing but the traffic is
recorded: the rollout's own tables decide who answers, its own evidence moves it. Approvals are
signed when they are due, proposed answers are confirmed at once. It draws by its spec, so that the
same events tell the same story.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

import msgspec
from msgspec.structs import asdict
from sqlalchemy import Engine

from penstock import migrations
from rollout import kept, reviews, routes, store
from rollout.acting import Ask, decide
from rollout.assignment import RouteTable
from rollout.closer import UnitCloser
from rollout.collector import Rollouts
from rollout.costs import Costs
from rollout.courses import FINAL, Kind
from rollout.decisions import Decision, Person
from rollout.kept import Kept
from rollout.opening import freeze
from rollout.replay import Given, Recorded, given, is_about
from rollout.reviews import Saying, State
from rollout.spec import Approval, Rollout, digest
from rollout.stages import Signal
from rollout.watching import watch
from streams import installation, registry
from streams.db.clock import Stepped
from streams.db.engine import connect, reading, writing
from streams.errors import InputError
from streams.events import TYPES, AnyEvent, Label, Prediction, routing_key, time_ms
from streams.hashing import partition_of
from streams.logs.memory import MemoryLog
from streams.models import DAY_MS, Declaration, duration_ms
from streams.pipe import Pipe
from streams.pipeline import Pipeline
from streams.topics import EVENTS

PARTITIONS = 2
WHO = "backtest"
AT_ONCE = 1_000  # reviews in memory
_TAGS = {kind: tag for tag, kind in TYPES.items()}


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What the trial stands on.

    Args:
        requests: that were recorded; `unknown` of them drew a version that had not answered.
        late: events that came long after others of their time, and were left out.
        from_ms, to_ms: of the events.
        began_ms: when the rollout could start: its epoch freezes what the champion showed before.
        looks: how often the judge looked.
    """

    requests: int
    unknown: int
    late: int
    from_ms: int
    to_ms: int
    began_ms: int
    looks: int


class _Past(msgspec.Struct):
    """A recorded request as it is given now, who answered it then, whether its truth is known."""

    given: Given
    was: str | None
    is_told: bool = False


class Trial:
    """One rollout in a store of its own; `Trial.play` gives it the past, a step at a time."""

    def __init__(
        self, engine: Engine, declaration: Declaration, declared: Rollout, *, delay_ms: int
    ) -> None:
        self._engine = engine
        self._name = declared.metadata.name
        self._champion = declared.spec.champion.version
        self._clock = Stepped()
        with writing(engine) as connection:
            installation.prepare(connection, now_ms=0)
            registry.register(connection, declaration, now_ms=0, by=WHO)
            store.create(connection, declared, reason=WHO, now_ms=0, by=WHO, salt=digest(declared))
        self._log = MemoryLog(partitions=PARTITIONS, now_ms=self._clock.domain_ms)
        self._pass = Pipeline(
            self._log, engine, collectors=[Pipe(), Rollouts()], owner=WHO, clock=self._clock
        )
        self._units = UnitCloser(engine, partitions=lambda: PARTITIONS, topic=EVENTS.name)
        self._recorded = Recorded(delay_ms=delay_ms)
        self._past: dict[str, _Past] = {}  # in the order of their time
        self._kept_ms = max(map(duration_ms, declaration.horizons.values()), default=DAY_MS)
        self.costs = Costs(
            champion=self._champion,
            challenger=declared.spec.challengers[0].version,
            positive=declaration.positive_class if declaration.binary else None,
        )
        self._model = declaration.model
        self._requests = self._unknown = self._looks = 0
        self._began_ms = 0
        self._refused: InputError | None = None
        self.is_over = False
        """Whether nothing will be decided any more: what it cost is counted on."""

    def put(self, event: AnyEvent) -> None:
        """A recorded event."""
        self._recorded.put(event)

    def play(self, *, before_ms: int) -> list[Decision]:
        """The past up to then has happened; what was decided in this step."""
        table = self._table()
        for what in self._recorded.take(before_ms=before_ms):
            if isinstance(what, dict):
                self._answer(what, table)
            else:
                self._say(what)
        self._forget(before_ms - self._kept_ms)
        if self.is_over:
            return []
        self._clock.move(before_ms)
        self._pass.drain()
        self._confirm(before_ms)
        while self._units.step():
            pass
        if not self._began_ms and not self._begins(before_ms):
            return []
        return self._moved(before_ms)

    def close(self) -> None:
        self._pass.close()

    @property
    def newest_ms(self) -> int:
        """Of the events so far."""
        return self._recorded.newest_ms

    @property
    def oldest_ms(self) -> int:
        """Of the events so far."""
        return self._recorded.oldest_ms

    @property
    def settled_ms(self) -> int:
        """Up to when the past is complete, and may be played."""
        return self._recorded.settled_ms

    @property
    def standing(self) -> store.Standing:
        with reading(self._engine) as connection:
            return store.standing(connection, self._name)

    def look(self) -> Kept | None:
        """The newest look at the evidence."""
        with reading(self._engine) as connection:
            return kept.newest(connection, self._name)

    def traffic(self) -> Traffic:
        """What it stood on. Raises InputError, with the reason, where it could never start."""
        if not self._began_ms:
            raise self._refused or InputError("nothing was recorded of this model", field="events")
        return Traffic(
            requests=self._requests, unknown=self._unknown, late=self._recorded.late,
            from_ms=self.oldest_ms, to_ms=self.newest_ms, began_ms=self._began_ms,
            looks=self._looks,
        )  # fmt: skip

    # --- events

    def _table(self) -> RouteTable | None:
        with reading(self._engine) as connection:
            return next(iter(routes.newest(connection)), None)

    def _answer(self, answers: dict[str, Prediction], table: RouteTable | None) -> None:
        now = given(answers, table, champion=self._champion)
        was = next((name for name, a in answers.items() if a.role == "live"), None)
        self._requests += 1
        self._past[now.prediction_id] = _Past(now, was)
        if now.live is None:
            self._unknown += 1
            return
        for answer in sorted(now.answers.values(), key=lambda each: each.role):
            self._append(answer)

    def _say(self, event: AnyEvent) -> None:
        past = self._past.get(getattr(event, "prediction_id", None) or "")
        if past is None or not is_about(event, past.given, was=past.was):
            return
        self._append(event)
        if isinstance(event, Label) and event.source == "outcome" and not past.is_told:
            past.is_told = True
            self.costs.add(past.given, event)

    def _append(self, event: AnyEvent) -> None:
        if self.is_over:
            return
        partition = partition_of(self._model, routing_key(event), PARTITIONS)
        self._clock.move(max(self._clock.domain_ms(), time_ms(event.time)))
        self._log.put(partition, [line(event)])

    def _forget(self, before_ms: int) -> None:
        """Requests whose truth comes too late now."""
        for name in list(
            takewhile(lambda name: self._past[name].given.at_ms < before_ms, self._past)
        ):
            del self._past[name]

    # --- decisions

    def _begins(self, now_ms: int) -> bool:
        """It starts as soon as what it freezes is known."""
        try:
            for signal in (Signal.PLAN, Signal.START):
                if signal is Signal.PLAN and self.standing.state.place.kind is not Kind.DRAFT:
                    continue
                self._decide(signal, now_ms, WHO)
        except InputError as error:
            self._refused = error
            return False
        self._began_ms = now_ms
        return True

    def _moved(self, now_ms: int) -> list[Decision]:
        made: list[Decision] = []
        self._looks += 1
        while not self.is_over:
            decision = watch(self._engine, self._name, now_ms=now_ms, wall_ms=now_ms)
            if decision is None:
                return made
            made.append(decision)
            made += self._signed(now_ms)
            self.is_over = decision.after.kind in FINAL
        return made

    def _signed(self, now_ms: int) -> list[Decision]:
        standing = self.standing
        if standing.state.place.kind is not Kind.APPROVAL:
            return []
        stage = standing.course[standing.state.place.step].stage
        assert isinstance(stage, Approval)
        return [
            self._decide(Signal.SIGN, now_ms, f"signer {k + 1}", *stage.people)
            for k in range(stage.count)
        ]

    def _confirm(self, now_ms: int) -> None:
        yes = Saying(state=State.CONFIRMED, by=WHO, reason="a backtest")
        with writing(self._engine) as connection:
            while asked := reviews.listed(connection, state=State.OPEN, limit=AT_ONCE):
                for each in asked:
                    reviews.answer(connection, each.id, yes, now_ms=each.opened_ms, wall_ms=now_ms)

    def _decide(self, signal: Signal, now_ms: int, who: str, *groups: str) -> Decision:
        cause = Person(name=who, reason="a backtest", via="cli", groups=groups)
        ask = Ask(rollout=self._name, signal=signal, cause=cause)
        return decide(self._engine, ask, now_ms=now_ms, wall_ms=now_ms, freezing=freeze)


def line(event: AnyEvent) -> bytes:
    """The event as a service would send it."""
    fields = {name: value for name, value in asdict(event).items() if value is not None}
    return msgspec.json.encode({"type": _TAGS[type(event)], **fields})


@contextmanager
def trial(declaration: Declaration, declared: Rollout, *, delay_ms: int) -> Iterator[Trial]:
    """A trial in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        url = f"sqlite:///{Path(folder) / 'trial.db'}"
        migrations.upgrade(url)
        engine = connect(url)
        try:
            on_trial = Trial(engine, declaration, declared, delay_ms=delay_ms)
            try:
                yield on_trial
            finally:
                on_trial.close()
        finally:
            engine.dispose()
