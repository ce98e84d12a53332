"""How long a verdict takes when ten thousand events were counted, and when a hundred million were.

The totals are written as intake freezes them, read back and judged: five guardrails, over all
traffic and in two protected slices, in an epoch of the spec in `traffic`.
"""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from benchmarks.policy import traffic
from benchmarks.policy.service import database
from rollout.cells import EVERYWHERE, SPLIT, Opened, Salts
from rollout.counted import HALVES, Counted
from rollout.epochs import Figure, Start, opened
from rollout.judge import judge
from rollout.looks import look_at
from rollout.opening import open_epoch
from streams import counters
from streams.counters import Deltas
from streams.db.engine import reading, writing

FEW, MANY = 10_000, 100_000_000
ROUNDS = 41
BAD = {"errors": 0.04, "latency": 0.05, "misses": 0.07, "false_alarms": 0.03}
SHARE = 0.2


def ratio(template: Path) -> tuple[float, float]:
    """(time at MANY over time at FEW, ms at MANY): medians of looks in turn."""
    with database(template) as few, database(template) as many:
        for engine, events in ((few, FEW), (many, MANY)):
            _count(engine, events)
        times = [(_look_s(few), _look_s(many)) for _ in range(ROUNDS + 2)][2:]
    small, large = (statistics.median(each) for each in zip(*times, strict=True))
    return large / small, 1000 * large


def _look_s(engine: Engine) -> float:
    begun = time.process_time()
    with reading(engine) as connection:
        look = look_at(connection, "spam-42", peaks={})
    judge(look)
    return time.process_time() - begun


def _count(engine: Engine, events: int) -> None:
    """An epoch in which so many requests were counted, and frozen."""
    start = Start(
        rollout="spam-42", epoch=1, opens_ms=0, shares=(SHARE,),
        salts=Salts(assignment="s", audit="a", rounding="r", self_check="c"),
    )  # fmt: skip
    epoch = opened(traffic.SPEC, traffic.MODEL, start, {"latency": Figure(quantile=100.0)})
    deltas = Deltas()
    for what, cells in _cells(epoch, events):
        deltas.add((what, 0, 0), cells, 0)
    with writing(engine) as connection:
        open_epoch(connection, epoch, now_ms=0)
        counters.save(connection, deltas)
        counters.freeze(connection, {0: 1})


def _cells(epoch: Opened, events: int) -> Iterator[tuple[str, np.ndarray]]:
    arms = np.array([(1 - SHARE) / 2, (1 - SHARE) / 2, SHARE]) * events
    yield epoch.split, np.rint([0.0] * len(SPLIT) + [arms[:HALVES].sum(), arms[-1]]).astype(int)
    for no, metric in enumerate(epoch.metrics):
        for slot in epoch.where():
            part = 1.0 if slot == EVERYWHERE else 0.25
            yield epoch.what(no, slot), _arms(metric, arms * part)


def _arms(metric: Counted, arms: np.ndarray) -> np.ndarray:
    """Equal versions: each level has its share of each arm; of latency, beyond its own limit."""
    levels = np.zeros(metric.columns - 1)
    if metric.name in BAD:
        levels[:2] = 1 - BAD[metric.name], BAD[metric.name]
    else:
        levels[0], levels[1 : len(metric.levels)] = 0.8, 0.2 / (len(metric.levels) - 1)
    known = np.rint(np.outer(arms, levels)).astype(int)
    if metric.thresholds is not None:
        known[-1] = np.rint(arms[-1] * np.array([0.97, 0.03])).astype(int)
    return np.concatenate([known.sum(axis=1, keepdims=True), known], axis=1).ravel()
