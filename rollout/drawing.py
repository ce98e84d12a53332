"""An epoch of a simulated future: what it has counted by any look, drawn from chances. Pure.

Counts of independent events that are rare in any instant are Poisson, cell by cell and look by
look. So a look costs the same at a thousand requests a day and at a billion.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from rollout.audits import told
from rollout.cells import SETTLES_MS, Opened, Salts
from rollout.chances import arms_of, chances, labels
from rollout.counted import Counted, Side
from rollout.courses import Course
from rollout.epochs import Figure, Start, opened
from rollout.metrics import QUANTILES, stat_of
from rollout.rates import QUANTILE_MS, Rates
from rollout.scenarios import Scenario, Shift, base
from rollout.spec import Metric, Spec
from rollout.tested import counted
from rollout.traffic import Traffic
from rollout.unit_values import span_ms
from streams.models import DAY_MS, Declaration, pane_width_ms

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Frame(Struct, frozen=True, kw_only=True):
    """What an epoch has in common in all futures of a scenario.

    Args:
        opened: with everything that it freezes; its `opens_ms` says nothing.
        chances: of each metric, per unit or request (`rollout.chances`).
        requests: of each metric, of a sticky unit within its exposure.
        arms: of a unit, the champion's first.
        weight: of the requests in scope that challengers answer.
        scope: of all requests.
        labels: that people give, per request.
        extra: bad outcomes more than the champion's, per request, by metric.
    """

    opened: Opened
    chances: tuple[Floats, ...]
    requests: tuple[float, ...]
    arms: tuple[float, ...]
    weight: float
    scope: float
    labels: float
    extra: dict[str, float]


class World:
    """What is the same in all futures of a scenario."""

    def __init__(
        self, spec: Spec, declaration: Declaration, course: Course, rates: Rates,
        scenario: Scenario, *, requests_a_day: float, lateness_ms: int,
    ) -> None:  # fmt: skip
        self.spec, self.course, self.scenario = spec, course, scenario
        self.lateness_ms = lateness_ms
        self.pace = requests_a_day / DAY_MS
        """Requests a ms."""
        self.units = rates.units if spec.assignment.sticky else None
        self._declaration, self._rates = declaration, rates
        self._frames: dict[tuple[object, ...], Frame] = {}

    def frame(self, traffic: Traffic, given: tuple[float, ...]) -> Frame:
        """The epoch of this traffic, after challengers had the shares `given`."""
        key = (traffic.shares, traffic.scope, traffic.confirm_ms, given)
        if key not in self._frames:
            self._frames[key] = self._framed(traffic, given)
        return self._frames[key]

    def begun(self, elapsed_ms: Floats, share: float, *, units: bool) -> Floats:
        """Requests, or units first seen, of a share of all traffic in so much time."""
        requests = self.pace * share * elapsed_ms
        if not units or self.units is None:
            return requests
        population = self.units * share
        return population * -np.expm1(-requests / population)

    def _framed(self, traffic: Traffic, given: tuple[float, ...]) -> Frame:
        spec, rates = self.spec, self._rates
        start = Start(
            rollout="", epoch=1, opens_ms=0, shares=traffic.shares, scope=traffic.scope,
            confirm_ms=traffic.confirm_ms, given=given, salts=_SALTS,
        )  # fmt: skip
        figures = {metric.name: _figure(metric, rates) for metric in spec.metrics}
        found = opened(spec, self._declaration, start, figures)
        # Both versions answer each request for as long as the champion has any.
        pairs = 0.0 if sum(traffic.shares) >= 1 else 1.0
        return Frame(
            opened=found,
            chances=tuple(
                self._chances(found, metric) * (pairs if metric.side is Side.PAIRS else 1.0)
                for metric in found.metrics
            ),
            requests=tuple(1 + self._more(metric) for metric in found.metrics),
            arms=arms_of(found),
            weight=sum(traffic.shares),
            scope=1.0 if traffic.scope is None or rates.scope is None else rates.scope,
            labels=pairs * labels(spec, found, rates),
            extra={
                metric.name: self._shift(metric).of(at := base(spec, metric, rates)) - at
                for metric in spec.metrics
                if metric.source in ("label", "audit") and stat_of(metric) == "rate"
            },
        )

    def _chances(self, found: Opened, metric: Counted) -> Floats:
        shift = self._shift(self.spec.by_name[metric.name])
        more = self._more(metric)
        return chances(self.spec, found, metric, self._rates, shift, requests=more)

    def _more(self, metric: Counted) -> float:
        """Requests of a sticky unit within its exposure, after its first."""
        exposure_ms = metric.own.exposure_ms if metric.own else 0
        return self.pace * exposure_ms / self.units if self.units else 0.0

    def _shift(self, metric: Metric) -> Shift:
        return self.scenario.shifts.get(metric.name, Shift())


class Drawn:
    """An epoch in one future, from `opens_ms` until it is closed.

    Looks come in order; between two calls of `keep` the same look shows the same counts.
    """

    def __init__(self, world: World, frame: Frame, rng: np.random.Generator, opens_ms: int) -> None:
        self.frame, self.opened, self.opens_ms = frame, frame.opened, opens_ms
        self.closes_ms: float = math.inf
        self.breaks: list[tuple[float, float]] = []
        """From when to when no sticky unit was enrolled; the last may be open."""
        self._world, self._rng = world, rng
        self._kept: dict[int, tuple[float, Ints]] = {}
        self._seen: dict[int, tuple[Floats, Ints]] = {}

    def cells(self, no: int, times: Ints) -> Ints:
        """What metric `no` has in frozen panes at each look, shape (looks, width of its vector)."""
        metric, chances = self.opened.metrics[no], self.frame.chances[no]
        if no not in self._seen:
            amount = self._amount(metric, self._frozen_ms(metric, times))
            drawn = self._grown(no, amount, chances)
            known, enrolled = drawn[..., :-1], drawn.sum(axis=-1, keepdims=True)
            vectors = np.concatenate([enrolled, known], axis=-1).reshape(len(times), -1)
            before = self._kept.get(no)
            self._seen[no] = (amount, vectors if before is None else vectors + before[1])
        return self._seen[no][1]

    def arms(self, times: Ints) -> Ints:
        """Units of each arm that are compared, by look; where a person is asked, answers."""
        if _SPLIT not in self._seen:
            ends_ms = times - self._world.lateness_ms - SETTLES_MS
            are_units = self.opened.sticky and not self.opened.confirm_ms
            width = self.opened.grain_ms if are_units else pane_width_ms(SETTLES_MS)
            amount = self._begun(_floor(ends_ms, width), units=are_units, breaks=self.breaks)
            drawn = self._grown(_SPLIT, amount, np.array(self.frame.arms))
            before = self._kept.get(_SPLIT)
            self._seen[_SPLIT] = (amount, drawn if before is None else drawn + before[1])
        return self._seen[_SPLIT][1]

    def keep(self, look: int) -> None:
        """The future went on from this look: what came before it stays as it is."""
        self._kept |= {no: (amount[look], cells[look]) for no, (amount, cells) in
                       self._seen.items()}  # fmt: skip
        self._seen = {}

    def answered(self, until_ms: float) -> float:
        """Requests in scope while it was open."""
        return float(self._begun(np.array([until_ms], float), units=False)[0])

    def pairs(self, no: int, times: Ints) -> Ints:
        """What floors count: (all pairs, those that were told of) of each challenger, by look."""
        metric, strata = self.opened.metrics[no], len(self.opened.metrics[no].q)
        shaped = counted(self.opened, metric, self.cells(no, times))
        kinds = np.stack([shaped[..., 0], shaped[..., told(metric)].sum(axis=-1)], axis=-1)
        found: Ints = kinds.reshape(len(times), -1, strata, 2).sum(axis=2)
        if metric.own is not None:  # a unit has several
            found = np.floor(found * self.frame.requests[no]).astype(np.int64)
        return found

    def _grown(self, no: int, amount: Floats, chances: Floats) -> Ints:
        """Counts since what was kept."""
        before = self._kept[no][0] if no in self._kept else 0.0
        steps = np.maximum(np.diff(amount, prepend=before), 0.0)
        if not steps.any():
            return np.zeros((len(steps), *chances.shape), np.int64)
        rates = steps.reshape(-1, *[1] * chances.ndim) * chances
        found: Ints = self._rng.poisson(rates).cumsum(axis=0)
        return found

    def _amount(self, metric: Counted, before_ms: Floats) -> Floats:
        if metric.own is not None:  # who is not followed up whole is left out
            ends_ms = span_ms(metric.own, self.opened.grain_ms, 1)[1]
            before_ms = np.minimum(before_ms, self.closes_ms - ends_ms)
        breaks = self.breaks if metric.side is Side.ARMS else []
        return self._begun(before_ms, units=metric.own is not None, breaks=breaks)

    def _frozen_ms(self, metric: Counted, times: Ints) -> Floats:
        """What began before then is in frozen panes."""
        passed = times - self._world.lateness_ms
        if metric.own is None:
            return _floor(passed - metric.horizon_ms, metric.width_ms)
        grain = self.opened.grain_ms
        ends_ms = span_ms(metric.own, grain, 1)[1]
        return _floor(passed - ends_ms - metric.own.settles_ms - 1, grain)

    def _begun(
        self, before_ms: Floats, *, units: bool, breaks: Sequence[tuple[float, float]] = ()
    ) -> Floats:
        """Requests, or sticky units that were enrolled, before then."""
        spans = np.clip(before_ms, self.opens_ms, self.closes_ms) - self.opens_ms
        for begins_ms, ends_ms in breaks if units else ():
            spans -= np.clip(before_ms, begins_ms, ends_ms) - begins_ms
        return self._world.begun(spans, self.frame.scope, units=units)


_SPLIT = -1  # in the place of a metric: the units of each arm
_SALTS = Salts(assignment="1", audit="2", rounding="3", self_check="4")  # nothing is drawn by them


def _figure(metric: Metric, rates: Rates) -> Figure:
    """What production would freeze: of a mean it knows no more."""
    known, stat = rates.of(metric.name), stat_of(metric)
    if stat is not None and stat in QUANTILES:
        return Figure(quantile=known.mean or QUANTILE_MS)
    return Figure(mean=known.mean)


def _floor(times: Ints, width_ms: int) -> Floats:
    return (times - times % width_ms).astype(float)
