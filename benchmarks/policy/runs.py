"""One rollout from its first traffic on, and what other rules say of the same requests."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.policy import traffic
from benchmarks.policy.rules import RULES, Ended, Seen
from benchmarks.policy.service import Service, answered, database
from benchmarks.policy.traffic import GUARDRAILS, HOUR_MS, Hour, Rng, Version
from evidence.decision import Verdict
from rollout.courses import Kind
from rollout.judge import Record
from rollout.stages import Signal

BEFORE = 4  # hours of the champion alone, from which thresholds are frozen
SHARE = 0.2  # of the requests, in the first step and under the other rules


@dataclass(frozen=True)
class Run:
    """What became of one rollout.

    Args:
        hours: until the rollback for proven harm; None: there was none.
        harmed: whether any look proved harm of a guardrail, in all traffic or a protected slice.
        safe: guardrails that any look called safe.
        other: the signal of the last other decision that was not a person's, or none.
        others: what each other rule said.
    """

    hours: int | None
    harmed: bool
    safe: frozenset[str]
    other: str
    others: dict[str, Ended]


@dataclass(frozen=True)
class Plan:
    """A version, and for how long it is watched; a person takes it on at `ramp`, if given."""

    version: Version
    hours: int
    ramp: int | None = None

    def play(self, template: Path, rng: Rng) -> Run:
        """Ends with a rollback for harm, or when its hours are over; watched after every hour."""
        draws, canary = rng.spawn(1)[0], rng.spawn(1)[0]
        harmed, safe, other, hours = False, set[str](), "", None
        seen = []
        with database(template) as engine:
            service = Service(engine)
            for no in range(-BEFORE, 0):
                batch = traffic.hour(draws, no, service.batch_ms, self.version)
                service.send(answered(batch, None, rng))
            service.begin(rng)
            for no in range(self.hours):
                batch = traffic.hour(draws, no, service.batch_ms, self.version)
                seen.append(_canary(batch, canary))
                if hours is not None:
                    continue  # the others go on with the same requests
                service.send(answered(batch, service.table(), rng))
                made, record = service.look()
                if record is not None:
                    harmed |= _harms(record)
                    safe |= _safe(record)
                if made is not None and made.signal is Signal.HARM:
                    hours = no + 1
                elif made is not None:
                    other = made.signal.value
                elif no + 1 == self.ramp and service.kind() is Kind.CANARY:
                    service.say(Signal.ADVANCE)
        return Run(hours, harmed, frozenset(safe), other, _others(seen))


AT_MARGIN = Plan(traffic.AT_MARGIN, hours=36, ramp=18)
HARMFUL = Plan(traffic.HARMFUL, hours=36)
LATE = Plan(traffic.LATE, hours=72)


def play(plan: Plan, template: Path, seed: np.random.SeedSequence) -> Run:
    """For processes of a pool."""
    return plan.play(template, np.random.default_rng(seed))


def told(version: Version, hours: int, seed: np.random.SeedSequence) -> dict[str, Ended]:
    """What the other rules alone say of a version."""
    rng = np.random.default_rng(seed)
    batches = (traffic.hour(rng, no, no * HOUR_MS, version) for no in range(hours))
    return _others([_canary(batch, rng) for batch in batches])


def _canary(batch: Hour, rng: Rng) -> Seen:
    kept = rng.random(traffic.REQUESTS) < SHARE
    return traffic.measured(batch, batch.outcomes[1], kept)


def _others(seen: list[Seen]) -> dict[str, Ended]:
    limits = traffic.limits()
    return {name: rule(seen, limits) for name, rule in RULES.items()}


def _harms(record: Record) -> bool:
    return any(v.verdict is Verdict.HARM for v in record.judged if v.metric in GUARDRAILS)


def _safe(record: Record) -> set[str]:
    return {v.metric for v in record.judged if v.verdict is Verdict.SAFE and not v.slice}
