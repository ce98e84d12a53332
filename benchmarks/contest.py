"""Every method on the same traffic: three versions each, and what each method says of them.

`decide` plays one history of one version and returns, by the name of the method, when it declared
harm and when it declared the version safe. Harm is tested against "no worse than the champion" and
safety against the margin, both one-sided at 5 %, whoever the method is by. (The judge tests harm at
the margin too, which only makes it rarer.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Protocol

import numpy as np

from benchmarks import peers
from benchmarks.controllers import Decided, Kayenta, argo, flagger
from benchmarks.metrics import ErrorRate, Metric, Rng
from benchmarks.peers import Seen
from benchmarks.scenarios import Traffic, Units, moments
from benchmarks.simulation import Bools, first, looks, says
from evidence import asymptotic
from evidence.domain import Ints
from evidence.effects import Difference, Ratio
from evidence.normal import NormalTest
from evidence.results import Evidence, Side
from evidence.risks import EventShare
from evidence.sequences import Epoch

# How methods are called in the tables; error_rates.md says what each is.
DIFFERENCE = "**Penstock**, difference"
EVENT_SHARE = "**Penstock**, event share"
GATED = "**Penstock**, gated asymptotic"
SUPERIORITY = "**Penstock**, superiority"
RATIO = "**Penstock**, ratio"
AUDITED = "**Penstock**, audited mean"
BY_USER = "**Penstock**, one value a user"
BY_EVENT = "the same test, event by event (Penstock refuses)"
MCNEMAR_ALWAYS, MCNEMAR_TWENTY = "McNemar and z, every look", "McNemar and z, 20 looks"
Z_ALWAYS, Z_TWENTY = "z-test, every look", "z-test, 20 looks"
ASYMPTOTIC = "AsympCS"
GROWTHBOOK, GROWTHBOOK_LIFT = "GrowthBook, absolute", "GrowthBook, relative"
GROWTHBOOK_CAPPED = "GrowthBook, capped"
SAFE_ROLLOUT = "GrowthBook Safe Rollout"
KAYENTA = "Kayenta"
CONTROLLERS = {
    f"{name}, {requests} a check": (rule, requests)
    for requests in (20, 500)
    for name, rule in (("Flagger", flagger), ("Argo Rollouts", argo))
}


class World(StrEnum):
    """The version that is tried: no other than the champion, just beyond bearing, or bad."""

    SAME = "same"
    MARGIN = "margin"
    HARMFUL = "harmful"


class Contest(Protocol):
    """One kind of traffic on which methods are compared."""

    @property
    def key(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def about(self) -> str:
        """What comes, how much of it, and what the three versions are."""

    @property
    def null(self) -> World:
        """The version of which no method may say that it harms."""

    def decide(self, world: World, rng: Rng) -> dict[str, Decided]: ...


def decided(harm: Bools, safe: Bools, at: Ints) -> Decided:
    """When a test that is read at every look first said either."""
    return Decided(first(harm, at), first(safe, at))


def claims(
    epochs: Sequence[Epoch], same: float, margin: float, at: Ints, *, worse: Side = Side.ABOVE
) -> Decided:
    """When the product first said that a version harms, or that it stays within the margin."""
    return decided(says(epochs, same, worse), says(epochs, margin, worse.other), at)


def reads(
    test: peers.Test,
    seen: Seen,
    margin: float,
    at: Ints,
    *,
    worse: Side = Side.ABOVE,
    relative: bool = False,
) -> Decided:
    """The same of a peer's test."""
    harm = test(seen, 0.0, worse, relative=relative)
    return decided(harm, test(seen, margin, worse.other, relative=relative), at)


def twenty(at: Ints) -> Ints:
    """Indices of twenty looks out of many, evenly spaced, the last among them."""
    return np.linspace(0, len(at) - 1, 21)[1:].astype(np.int64)


@dataclass(frozen=True)
class Assigned:
    """Units that are assigned at random, each with one outcome.

    A margin is a difference, but a ratio where the base rate moves: there a difference moves too.

    Args:
        effects: ratio to the champion at the margin, and of the harmful version.
        horizon: units of both arms.
        limit: the fixed limit of the peers that know no champion; without one they stay out.
    """

    key: str
    title: str
    metric: Metric
    pi: float
    effects: tuple[float, float]
    horizon: int = 20_000
    limit: float | None = None
    null = World.SAME

    @property
    def about(self) -> str:
        fixed = f" Fixed limits stand at {100 * self.limit:g} %." if self.limit else ""
        return (
            f"{self.horizon:,} units, {100 * self.pi:g} % of them the challenger's. Its mean is "
            f"{self.effects[0]:g} times the champion's at the margin, {self.effects[1]:g} times "
            f"when harmful.{fixed}"
        )

    @property
    def worse(self) -> Side:
        return Side.ABOVE if self.effects[0] > 1 else Side.BELOW

    @property
    def moves(self) -> bool:
        return isinstance(self.metric, ErrorRate) and self.metric.end is not None

    @property
    def looks(self) -> Ints:
        if isinstance(self.metric, ErrorRate):
            return looks(self.horizon, 10, dense=1_000)
        return looks(self.horizon, self.horizon // 400, dense=200)

    def decide(self, world: World, rng: Rng) -> dict[str, Decided]:
        effect = {World.SAME: 1.0, World.MARGIN: self.effects[0], World.HARMFUL: self.effects[1]}
        traffic = Traffic(self.metric, self.pi, self.horizon, effect[world])
        units = traffic.units(rng)
        return {
            **self._penstock(traffic, units, rng),
            **self._tests(units),
            KAYENTA: Kayenta(self.horizon // 60, higher_is_worse=self.worse is Side.ABOVE)(units),
            **self._fixed_limits(units),
        }

    @property
    def _difference(self) -> float:
        return self.metric.mean(self.effects[0]) - self.metric.mean()

    def _penstock(self, traffic: Traffic, units: Units, rng: Rng) -> dict[str, Decided]:
        at, ratio = self.looks, self.effects[0]
        counts = traffic.counts(rng, units, at)
        found = {}
        if self.moves:
            by_ratio = [Epoch(Ratio(traffic.arms()), counts)]
            found[RATIO] = claims(by_ratio, 1.0, ratio, at, worse=self.worse)
        else:
            by_difference = [Epoch(Difference(traffic.arms()), counts)]
            found[DIFFERENCE] = claims(by_difference, 0.0, self._difference, at, worse=self.worse)
        if isinstance(self.metric, ErrorRate):
            by_events = [Epoch(EventShare(self.pi), counts[..., 1])]
            found[EVENT_SHARE] = claims(by_events, 1.0, ratio, at, worse=self.worse)
        if not self.moves:
            found[GATED] = self._gated(units)
        return found

    def _gated(self, units: Units) -> Decided:
        """S5 at twenty looks; `NotYet` says nothing."""
        at = looks(self.horizon, self.horizon // 20)
        harm = NormalTest(effect=0.0, side=self.worse)
        safe = NormalTest(effect=self._difference, side=self.worse.other)
        found = [
            [asymptotic.difference(*arms, question) for question in (harm, safe)]
            for arms in moments(units, at)
        ]
        said = np.array([[isinstance(f, Evidence) and f.rejects for f in both] for both in found])
        return decided(said[:, 0], said[:, 1], at)

    def _tests(self, units: Units) -> dict[str, Decided]:
        at = self.looks
        seen, few = Seen.of(units, at), twenty(at)
        lift, relative = self.effects[0] - 1, self.moves
        margin = lift if relative else self._difference
        play = partial(reads, worse=self.worse)
        found = {
            Z_ALWAYS: play(peers.z_test, seen, margin, at, relative=relative),
            Z_TWENTY: play(peers.z_test, seen.at(few), margin, at[few], relative=relative),
            ASYMPTOTIC: play(peers.asymptotic, seen, margin, at, relative=relative),
            GROWTHBOOK_LIFT: play(peers.growthbook, seen, lift, at, relative=True),
        }
        if not self.moves:
            found[GROWTHBOOK] = play(peers.growthbook, seen, margin, at)
        if not isinstance(self.metric, ErrorRate):
            capped = Units(units.challenger, np.minimum(units.outcome, max(self.metric.levels)))
            found[GROWTHBOOK_CAPPED] = play(peers.growthbook, Seen.of(capped, at), margin, at)
        if self.pi == 0.5 and not self.moves:
            harm = found[GROWTHBOOK].harm
            found[SAFE_ROLLOUT] = Decided(harm, None if harm else self.horizon)
        return found

    def _fixed_limits(self, units: Units) -> dict[str, Decided]:
        if self.limit is None:
            return {}
        return {name: rule(self.limit, n)(units) for name, (rule, n) in CONTROLLERS.items()}
