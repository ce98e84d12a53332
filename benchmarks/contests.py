"""The contests that are played: assigned units, a ramp, pairs, audits, and sticky users."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from benchmarks import peers
from benchmarks.contest import (
    ASYMPTOTIC,
    AUDITED,
    BY_EVENT,
    BY_USER,
    DIFFERENCE,
    EVENT_SHARE,
    GROWTHBOOK,
    GROWTHBOOK_LIFT,
    MCNEMAR_ALWAYS,
    MCNEMAR_TWENTY,
    RATIO,
    SUPERIORITY,
    Z_ALWAYS,
    Assigned,
    Contest,
    World,
    claims,
    decided,
    reads,
    twenty,
)
from benchmarks.controllers import Decided
from benchmarks.metrics import LATENCY, REVENUE, ErrorRate, Rng
from benchmarks.peers import Seen
from benchmarks.scenarios import (
    RISK_WEIGHTED,
    Ramp,
    Shadow,
    Sticky,
    Units,
)
from benchmarks.simulation import cumulative, first, growing, looks, says
from evidence.bets import Statistic
from evidence.domain import Ints
from evidence.effects import Difference, Ratio
from evidence.paired import Pair, PairedDifference
from evidence.results import Side
from evidence.risks import EventShare
from evidence.sequences import Epoch
from evidence.shares import log_e_share


@dataclass(frozen=True)
class Ramped:
    """A share that grows while the base rate falls; peers pool their arms over it."""

    key = "ramp"
    title = "Ramp 1, 5, 25, 50 %, while the base rate falls from 10 to 5 %"
    about = "20,000 new users. The margin is +30 %, the harmful version +60 %."
    null = World.SAME

    def decide(self, world: World, rng: Rng) -> dict[str, Decided]:
        margin = 1.3
        effect = {World.SAME: 1.0, World.MARGIN: margin, World.HARMFUL: 1.6}[world]
        ramp = Ramp(effect=effect)
        units, came, counts = ramp.counts(rng)
        events = [each[..., 1] for each in counts]
        ratios = [Ratio(arms) for arms in ramp.arms()]
        shares = [EventShare(arms.pi) for arms in ramp.arms()]
        found = {
            RATIO: Decided(
                _first(ratios, counts, came, 1.0, Side.ABOVE),
                _first(ratios, counts, came, margin, Side.BELOW),
            ),
            EVENT_SHARE: Decided(
                _first(shares, events, came, 1.0, Side.ABOVE),
                _first(shares, events, came, margin, Side.BELOW),
            ),
        }
        at = looks(ramp.n, 10, dense=1_000)
        seen = Seen.of(units, at)
        return found | {
            Z_ALWAYS: reads(peers.z_test, seen, margin - 1, at, relative=True),
            GROWTHBOOK_LIFT: reads(peers.growthbook, seen, margin - 1, at, relative=True),
        }


def _first(
    statistics: Sequence[Statistic],
    counts: Sequence[Ints],
    came: Sequence[Ints],
    effect: float,
    side: Side,
) -> int | None:
    """Units at the first look of any epoch that says so."""
    for epochs, at in zip(growing(statistics, counts), came, strict=True):
        found = first(says(epochs, effect, side), at)
        if found is not None:
            return found
    return None


@dataclass(frozen=True)
class Paired:
    """Both versions answer every request, in shadow."""

    key = "pairs"
    title = "Pairs in shadow, 6 % told apart"
    about = "20,000 pairs. The margin is 1 point, the harmful version 3 points worse."
    null = World.SAME

    def decide(self, world: World, rng: Rng) -> dict[str, Decided]:
        margin = 0.01
        worse = {World.SAME: 0.0, World.MARGIN: margin, World.HARMFUL: 0.03}[world]
        shadow = Shadow(0.06, worse)
        at = looks(shadow.n, 10, dense=1_000)
        counts = shadow.counts(rng, at)
        epochs = [Epoch(PairedDifference(shadow.pairs()), counts)]
        b, c = counts[:, 0, Pair.CHALLENGER_WRONG], counts[:, 0, Pair.CHAMPION_WRONG]
        few = twenty(at)
        mcnemar = peers.mcnemar(b, c, Side.ABOVE)
        share = log_e_share(b, b + c, 0.5, Side.ABOVE) >= -math.log(0.05)
        margin_z = peers.paired_z(b, c, at, margin, Side.BELOW)
        return {
            DIFFERENCE: claims(epochs, 0.0, margin, at),
            SUPERIORITY: Decided(first(share, at), None),
            MCNEMAR_ALWAYS: decided(mcnemar, margin_z, at),
            MCNEMAR_TWENTY: decided(mcnemar[few], margin_z[few], at[few]),
        }


@dataclass(frozen=True)
class Audited:
    """People judge a sample of the units, risky ones more often: is the loss below its ceiling?"""

    key = "audits"
    title = "Audited error rate against a ceiling, risky units audited more often"
    about = (
        "20,000 units, audited with probability 0.5, 0.2, 0.05 or 0.01. At the ceiling neither "
        "harm nor safety may be declared; the harmful version fails 1.6 times as often, the good "
        "one half as often."
    )
    null = World.MARGIN

    def decide(self, world: World, rng: Rng) -> dict[str, Decided]:
        factor = {World.SAME: 0.5, World.MARGIN: 1.0, World.HARMFUL: 1.6}[world]
        ceiling = RISK_WEIGHTED.loss
        risk = tuple(factor * each for each in RISK_WEIGHTED.risk)
        audits = replace(RISK_WEIGHTED, risk=risk)
        at = looks(audits.n, 10, dense=1_000)
        drawn = audits.draw(rng)
        epochs = [Epoch(RISK_WEIGHTED.statistic(), audits.counts(drawn, at))]
        weighted = partial(peers.weighted_mean, *drawn, audits.ladder, at, ceiling)
        return {
            AUDITED: claims(epochs, ceiling, ceiling, at),
            ASYMPTOTIC: decided(weighted(Side.ABOVE), weighted(Side.BELOW), at),
        }


@dataclass(frozen=True)
class Assignees:
    """Users keep their version and send many events; what is a unit?"""

    key = "sticky"
    title = "Sticky users with 20 events each"
    about = (
        "1,000 users, half with the challenger; 5 % of the events fail, most of them those of a "
        "few users. The margin is +50 %, the harmful version +100 %; units are events."
    )
    null = World.SAME

    def decide(self, world: World, rng: Rng) -> dict[str, Decided]:
        effect = {World.SAME: 1.0, World.MARGIN: 1.5, World.HARMFUL: 2.0}[world]
        sticky = Sticky(effect=effect)
        challenger, user, wrong = sticky.draw(rng)
        margin, levels = 0.5 * sticky.base, sticky.events + 1
        failed = np.bincount(user, weights=wrong, minlength=sticky.users).astype(np.int64)
        each = looks(sticky.users)
        users = cumulative(challenger * levels + failed, (2, levels), each)
        at = looks(len(user), 10, dense=1_000)
        events = cumulative(challenger[user] * 2 + wrong, (2, 2), at)
        by_user = [Epoch(Difference(sticky.user_arms()), users)]
        by_event = [Epoch(Difference(sticky.event_arms()), events)]
        seen = Seen.of(Units(challenger[user], wrong.astype(float)), at)
        return {
            BY_USER: claims(by_user, 0.0, margin, each * sticky.events),
            BY_EVENT: claims(by_event, 0.0, margin, at),
            Z_ALWAYS: reads(peers.z_test, seen, margin, at),
            GROWTHBOOK: reads(peers.growthbook, seen, margin, at),
        }


CONTESTS: tuple[Contest, ...] = (
    Assigned("errors-half", "Error rate 5 %, half and half", ErrorRate(0.05), 0.5, (1.5, 2.0)),
    Assigned(
        key="errors-canary",
        title="Error rate 1 %, canary of 5 %",
        metric=ErrorRate(0.01),
        pi=0.05,
        effects=(2.0, 4.0),
        limit=0.02,
    ),
    Assigned("errors-tiny", "Error rate 5 %, canary of 1 %", ErrorRate(0.05), 0.01, (2.0, 4.0)),
    Assigned(
        key="crash",
        title="A crash: 1 % errors become 30 %, canary of 10 %",
        metric=ErrorRate(0.01),
        pi=0.1,
        effects=(2.0, 30.0),
        limit=0.02,
    ),
    Assigned(
        key="outage",
        title="A bad day: yesterday 1 % failed, today 2 to 5 % of both versions, canary of 10 %",
        metric=ErrorRate(0.02, end=0.05),
        pi=0.1,
        effects=(2.0, 4.0),
        limit=0.02,
    ),
    Assigned("revenue-half", "Revenue, 2 % buy, half and half", REVENUE, 0.5, (0.7, 0.5)),
    Assigned(
        key="revenue-canary",
        title="Revenue, 2 % buy, canary of 5 %",
        metric=REVENUE,
        pi=0.05,
        effects=(0.5, 0.2),
        horizon=60_000,
    ),
    Assigned("latency-canary", "Latency, lognormal, canary of 5 %", LATENCY, 0.05, (1.2, 1.5)),
    Ramped(),
    Paired(),
    Audited(),
    Assignees(),
)
