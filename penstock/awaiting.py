"""Waiting for a rollout, for scripts: until it is promoted, safe or at a stage, or went back."""

import time

from penstock.deciding import opposed
from penstock.errors import ConditionError
from penstock.rollouts import Store
from rollout import store
from rollout.courses import FINAL, LIVE, Kind
from rollout.store import Standing
from streams.db.engine import reading
from streams.errors import InputError

LOOK_S = 1.0
PROMOTED, SAFE = "promoted", "safe"
BACK = (Kind.ROLLING_BACK, Kind.ROLLED_BACK)


def until(here: Store, name: str, goal: str, *, timeout_s: float) -> bool:
    """True as soon as it is so; False when it went back instead.

    Raises ConditionError when the time is out, or it ended otherwise, InputError for a goal that
    is none of this rollout's.
    """
    _check(here.standing(name), goal)
    end_s = time.monotonic() + timeout_s
    while True:
        with reading(here.engine) as connection:
            standing = store.standing(connection, name)
            met = _met(standing, goal)
            if goal == SAFE and standing.state.place.kind in LIVE:
                snapshot, against = opposed(connection, standing, now_ms=here.clock.domain_ms())
                met = bool(snapshot) and not against
        kind = standing.state.place.kind
        if met or kind in BACK:
            return met
        if kind in FINAL or time.monotonic() >= end_s:
            why = "it has ended" if kind in FINAL else f"{timeout_s:g} s are over"
            raise ConditionError(
                f"{name} is {kind}, not {goal}", why=why, fix=f"penstock rollout explain {name}"
            )
        time.sleep(min(LOOK_S, max(0.0, end_s - time.monotonic())))


def _check(standing: Standing, goal: str) -> None:
    steps = [step.name for step in standing.course]
    known = [PROMOTED, SAFE, Kind.DONE, *dict.fromkeys([s.kind for s in standing.course]), *steps]
    if goal not in known:
        raise InputError(
            f"{goal!r} is nothing that {standing.name} comes to",
            field="for",
            fix=f"one of {', '.join(dict.fromkeys(known))}",
        )


def _met(standing: Standing, goal: str) -> bool:
    """Whether it has come so far, or further; what is paused is where it was paused."""
    place, course = standing.state.place, standing.course
    if place.kind in BACK or place.kind is Kind.CANCELLED:
        return False
    if goal == PROMOTED:
        return place.step >= 0 and course[place.step].kind is Kind.PROBATION
    if goal == Kind.DONE:
        return place.kind is Kind.DONE
    reached = [k for k, step in enumerate(course) if goal in (step.name, step.kind)]
    return bool(reached) and place.step >= reached[0]
