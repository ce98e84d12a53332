"""How Flagger and Argo Rollouts decide on several metrics, written again from their sources.

Each reads one point estimate of every metric an interval, NaN where there were no requests, and
holds it against a fixed limit. `benchmarks.controllers` names the files that hold the rules.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

Limits = Mapping[str, float]
Seen = Mapping[str, float]  # the canary's value of each metric in one interval
HIGHER_IS_BETTER = frozenset({"revenue"})


class Said(StrEnum):
    """How it ended."""

    BACK = "rolled back"
    PROMOTED = "promoted"
    PAUSED = "paused for a person"


class Ended(NamedTuple):
    """`after` so many intervals; None: it has not."""

    said: Said | None
    after: int


Rule = Callable[[Iterable[Seen], Limits], Ended]


def flagger(intervals: Iterable[Seen], limits: Limits) -> Ended:
    """A failed check holds the weight and adds one to a counter that is never set back.

    Any metric beyond its limit fails the check, and so does one without data. At threshold 5 it
    rolls back; stepWeight 5 up to maxWeight 50, so ten passed checks promote.
    """
    failed = passed = no = 0
    for no, seen in enumerate(intervals, 1):
        if all(_within(seen[name], limit, name) for name, limit in limits.items()):
            passed += 1
        else:
            failed += 1
        if failed >= 5:
            return Ended(Said.BACK, no)
        if passed >= 10:
            return Ended(Said.PROMOTED, no)
    return Ended(None, no)


def argo(intervals: Iterable[Seen], limits: Limits) -> Ended:
    """Each metric is measured ten times (`count`), and fails once more than three of them failed.

    Within the limit is `successCondition`, beyond half as much again `failureCondition`; between
    them a measurement is inconclusive, and more than three of these (`inconclusiveLimit`) pause.
    No data is an error; five in a row (`consecutiveErrorLimit` 4) abort.
    """
    failed, between, wrong = (dict.fromkeys(limits, 0) for _ in range(3))
    no = 0
    for no, seen in enumerate(intervals, 1):
        for name, limit in limits.items():
            value = seen[name]
            wrong[name] = wrong[name] + 1 if math.isnan(value) else 0
            if _within(value, limit, name) or math.isnan(value):
                continue
            far = limit / 1.5 if name in HIGHER_IS_BETTER else limit * 1.5
            if _within(value, far, name):
                between[name] += 1
            else:
                failed[name] += 1
        if max(failed.values()) > 3 or max(wrong.values()) > 4:
            return Ended(Said.BACK, no)
        if max(between.values()) > 3:
            return Ended(Said.PAUSED, no)
        if no >= 10:
            return Ended(Said.PROMOTED, no)
    return Ended(None, no)


RULES: Mapping[str, Rule] = {"Flagger": flagger, "Argo Rollouts": argo}


def _within(value: float, limit: float, name: str) -> bool:
    """Not for NaN."""
    return value >= limit if name in HIGHER_IS_BETTER else value <= limit
