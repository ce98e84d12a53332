"""What plans and epochs know of the champion: by what the Pipe has counted."""

import numpy as np
import pytest

from rollout import recorded
from rollout.rates import Rate
from streams import codes, counters
from streams.counters import Deltas, tally
from streams.db.engine import reading, writing
from streams.facts import LIVE
from streams.pipe import CELL, CELLS, LATENCY_BUCKETS, latency_bucket
from tests.rollout.ahead import NAMES, T0, spec

DECLARED = spec(stages="    - canary: {weights: [5], dwell: 1h, require: guardrails, deadline: 1d}")


def counted(db, *, answers, latencies_ms=(), **cells):
    with writing(db) as connection:
        model = codes.resolve(connection, "model", 0, ["spam"])["spam"]
        version = codes.resolve(connection, "version", model, ["41"])["41"]
        row = np.zeros(len(CELLS), np.int64)
        for name, count in {"answered": answers, **cells}.items():
            row[CELL[name]] = count
        buckets = latency_bucket((1_000 * np.asarray(latencies_ms, float)).astype(np.int64))
        zeros = np.zeros(len(buckets), np.int64)
        histogram = tally(zeros, buckets, LATENCY_BUCKETS, count=1)[0]
        deltas = Deltas()
        what = f"pipe/{model}/{version}/{LIVE}/0"
        deltas.add((what, T0, 0), np.concatenate([row, histogram]))
        counters.save(connection, deltas)


def known(db):
    with reading(db) as connection:
        return recorded.rates(connection, DECLARED.spec, now_ms=T0 + 60_000)


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_the_spread_of_latencies_is_that_of_their_logarithms(ready, sigma):
    latencies = 80 * np.exp(np.random.default_rng(1).normal(0, sigma, 20_000))
    counted(ready, answers=20_000, latencies_ms=latencies, errors=400)

    found = known(ready)

    assert found.of("slow").spread == pytest.approx(sigma, rel=0.03)
    assert found.of("errors") == Rate(mean=0.02)


def test_of_too_few_answers_nothing_is_known(ready):
    counted(ready, answers=50, latencies_ms=[80.0] * 50, errors=10)

    found = known(ready)

    assert all(found.of(name) == Rate() for name in NAMES)
    assert found.disagree is None
