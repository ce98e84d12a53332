"""Simulated futures of a rollout: drawn counts under the product's own evidence and rules. Pure.

What is due at a look is `rollout.signals`' to say, where it leads `rollout.stages`', and each
decision is a record like any other. A stretch of looks is judged at once (`rollout.sighting`), and
decided on only where something can have changed: a verdict, a floor, a clock.

Not simulated: doubts about the data (there are none), first bad events, slices, later
periods of sticky units. Approvals are signed at once, as in a backtest.
"""

import math

import numpy as np
import numpy.typing as npt

from evidence.decision import Verdict
from rollout import stages
from rollout.courses import LIVE, Kind, Step
from rollout.decisions import Cause, Judged, Person, Published
from rollout.drawing import Drawn, World
from rollout.endings import Ended, Outcome, Passed
from rollout.gates import Wait, waits
from rollout.rules.places import required
from rollout.scenes import Facts, Scene
from rollout.sighting import Bench, Sight
from rollout.signals import due, grows
from rollout.spec import Approval, Least
from rollout.stages import Signal
from rollout.states import State, folded
from rollout.timing import looks, silence_ms
from rollout.traffic import NO_STEP, changed
from rollout.unit_values import exposure_ms
from streams.models import DAY_MS, duration_ms

Ints = npt.NDArray[np.int64]

_WHO = "plan"


def future(world: World, *, from_ms: int, seed: np.random.SeedSequence) -> Ended:
    """One rollout from its start at `from_ms`, domain time, to its end; the same for a seed."""
    return _Future(world, from_ms, np.random.default_rng(seed)).played()


class _Future:
    def __init__(self, world: World, from_ms: int, rng: np.random.Generator) -> None:
        self._world, self._rng = world, rng
        self._from_ms = self._now_ms = from_ms
        self._state = State(rollout=_WHO, revision="")
        self._drawn: list[Drawn] = []
        self._judged = judged(world)
        self._bench = Bench(self._judged, world.spec.harm_budget)
        self._blind_ms = math.inf  # from when nothing has come for too long
        self._follows_ms = 0  # until when units are followed up; 0: nobody is
        self._gates: tuple[str, ...] = ()
        self._last = Signal.PLAN
        self._steps: list[Passed] = []
        self._safe: frozenset[str] = frozenset()

    def played(self) -> Ended:
        for signal in (Signal.PLAN, Signal.START):
            self._decide(signal, _person(1))
        while self._state.place.kind in LIVE:
            stage = self._step.stage
            if isinstance(stage, Approval):
                for k in range(len(self._state.signed), stage.count):
                    self._decide(Signal.SIGN, _person(1 + k, *stage.people))
            self._stretch()
        return self._ended()

    # --- looks

    def _stretch(self) -> None:
        """Looks up to the next decision, or until counts have to be drawn anew."""
        metrics = self._drawn[-1].opened.metrics
        times = looks(
            self._step, self._state, from_ms=self._now_ms,
            ages_ms=[each.horizon_ms for each in metrics if each.name in self._judged],
            clocks_ms=(self._blind_ms, self._follows_ms),
        )  # fmt: skip
        sight = self._bench.sight(self._drawn, times, since_ms=self._state.since_ms)
        changes = sight.changes(self._least)
        look: int | None = 0
        while look is not None:
            at, self._now_ms = look, int(times[look])
            scene = self._scene(sight, look)
            call = due(scene)
            if call is not None or (self._follows_ms and not scene.facts.following_up):
                break
            waiting = waits(scene)
            self._gates = tuple(dict.fromkeys(wait.gate for wait in waiting))
            look = self._next(waiting, times, changes, look)
        self._bench.keep(sight, at)
        self._safe |= sight.safe(at)
        for drawn in self._drawn:
            drawn.keep(at)
        if not self._enrols_otherwise(scene) and call is not None:
            self._decide(call.signal, call.cause, arm=call.arm)

    def _next(self, waiting: list[Wait], times: Ints, changes: Ints, look: int) -> int | None:
        """The next look at which anything can be new; None: there is none in this stretch."""
        if look + 1 == len(times):
            return None
        clocks = [wait.until_ms for wait in waiting if wait.until_ms is not None]
        clocks += [int(at) for at in (self._blind_ms, self._follows_ms) if math.isfinite(at)]
        at = [int(np.searchsorted(times, clock)) for clock in clocks if clock > times[look]]
        later: list[int] = [each for each in (*at, *changes.tolist()) if each > look]
        return min([len(times) - 1, *later])

    def _scene(self, sight: Sight, look: int) -> Scene:
        spec, now_ms = self._world.spec, int(sight.times[look])
        blind_ms = self._blind_ms - duration_ms(spec.blind_after)
        least, estimate = sight.cost(look, dropped=self._state.dropped)
        facts = Facts(
            verdicts=(*sight.verdicts(look), *self._scores),
            reached=sight.reached_at(look),
            fresh_ms=now_ms if now_ms < self._blind_ms else int(blind_ms),
            following_up=now_ms < self._follows_ms,
            extra_least=least,
            extra_estimate=estimate,
        )
        return Scene(
            state=self._state, spec=spec, course=self._world.course, facts=facts, now_ms=now_ms
        )

    @property
    def _scores(self) -> tuple[Judged, ...]:
        """Drift keeps within its ceilings."""
        return tuple(
            Judged(
                arm=one.arm, metric=ceiling.name, verdict=Verdict.UNDECIDED, estimate=0.0,
                limit=ceiling.limit,
            )
            for one in self._drawn[-1].opened.challengers
            for ceiling in self._drawn[-1].opened.ceilings
        )  # fmt: skip

    # --- decisions

    @property
    def _step(self) -> Step:
        return self._world.course[self._state.place.step]

    @property
    def _least(self) -> Least:
        found: Least = getattr(self._step.stage, "least", Least())
        return found

    def _enrols_otherwise(self, scene: Scene) -> bool:
        """Whether enrolment of sticky units ends, or goes on: as `rollout.enrolment` does."""
        newest = self._drawn[-1]
        if not newest.opened.owned or scene.facts.following_up:
            return False
        wants = grows(scene)
        if wants and not self._follows_ms:
            newest.breaks.append((self._now_ms, math.inf))
            self._follows_ms = self._now_ms + exposure_ms(newest.opened)
            return True
        if self._follows_ms and not wants:
            newest.breaks[-1] = (newest.breaks[-1][0], self._now_ms)
            self._follows_ms = 0
        return False

    def _decide(self, signal: Signal, cause: Cause, *, arm: str | None = None) -> None:
        """The next record, and its epoch."""
        world, state = self._world, self._state
        after = stages.advance(world.course, state.place, signal)
        new = changed(world.spec, world.course, state.place, after, dropped=state.dropped, arm=arm)
        published = None
        if new is not None:
            self._close()
            if new.step != NO_STEP:
                frame = world.frame(new, state.given)
                self._drawn.append(Drawn(world, frame, self._rng, self._now_ms))
                pace = world.pace * frame.scope * frame.weight
                silent_ms = duration_ms(world.spec.blind_after)
                self._blind_ms = self._now_ms + silence_ms(pace, silent_ms, self._rng)
            published = Published(
                route_version=state.seq + 1, epoch=len(self._drawn), shares=new.shares
            )
        if state.place.step >= 0 and (after.step != state.place.step or after.kind not in LIVE):
            self._leave(signal)
        made = state.decided(signal, after, cause, at_ms=self._now_ms, arm=arm, published=published)
        self._state, self._last = folded(state, [made]), signal

    def _close(self) -> None:
        self._follows_ms, self._blind_ms = 0, math.inf
        if self._drawn:
            self._drawn[-1].closes_ms = self._now_ms

    def _leave(self, signal: Signal) -> None:
        """The step is over by this signal."""
        days = (self._now_ms - self._state.since_ms) / DAY_MS
        advanced = signal in (Signal.ADVANCE, Signal.FINISH)
        passed = Passed(step=self._step.name, days=days, advanced=advanced, gates=self._gates)
        self._steps.append(passed)
        self._gates = ()

    def _ended(self) -> Ended:
        extra: dict[str, float] = {}
        for drawn in self._drawn:
            answers = drawn.answered(self._now_ms) * drawn.frame.weight
            for metric, more in drawn.frame.extra.items():
                extra[metric] = extra.get(metric, 0.0) + answers * more
        kind, last = self._state.place.kind, self._last
        return Ended(
            outcome=_OUTCOMES[kind],
            signal=last,
            days=(self._now_ms - self._from_ms) / DAY_MS,
            steps=tuple(self._steps),
            safe=self._safe,
            labels=sum(d.answered(self._now_ms) * d.frame.labels for d in self._drawn),
            extra=extra,
        )


_OUTCOMES: dict[Kind, Outcome] = {
    Kind.DONE: "promoted",
    Kind.ROLLING_BACK: "rolled back",
    Kind.PAUSED: "paused",
}


def judged(world: World) -> tuple[str, ...]:
    """The metrics that may decide anything: guardrails, the budget's, what some step requires."""
    names = list(world.spec.guardrails)
    if world.spec.harm_budget is not None:
        names.append(world.spec.harm_budget.metric)
    for step in world.course:
        names += required(world.spec, step.kind.value, step.stage)
    return tuple(n for n in dict.fromkeys(names) if world.spec.by_name[n].source != "drift")


def _person(number: int, *groups: str) -> Person:
    return Person(name=f"{_WHO} {number}", reason="a simulated future", groups=groups)
