"""Rule 2 and "a request with no answer is never dropped", where a spec limits missing answers."""

import numpy as np
import pytest

from benchmarks.simulation import most
from evidence.decision import Verdict
from evidence.maturity import coverage_test
from evidence.risks import EventShare
from evidence.sequences import Epoch
from rollout.cells import EVERYWHERE, SPLIT, Salts
from rollout.epochs import Figure, Start, opened
from rollout.judge import judge
from rollout.looks import Look
from rollout.spec import read
from streams.models import Declaration

pytestmark = pytest.mark.stats

RUNS, LOOKS, REQUESTS = 100, 6, 15_000  # requests of each arm between two looks
MODEL = Declaration(model="spam", task="classification", classes=("ham", "spam"))
SPEC = b"""
apiVersion: penstock/v1
kind: ModelRollout
metadata: {name: r1}
spec:
  model: spam
  route: default
  champion: {version: "41"}
  challengers: [{version: "42"}]
  assignment: {unit: request}
  metrics:
    - {name: errors, from: prediction, margin: {absolute: 0.01}}
    - {name: often, from: prediction, of: errors, margin: {relative: 0.5}}
    - {name: missing, from: prediction, margin: {absolute: 0.01}}
  guardrails: [errors, often, missing]
  judge: {plannedUnits: 50000, selfCheck: false}
  stages: [{canary: {weights: [50], dwell: 1h, require: guardrails, deadline: 4d}}]
"""
EPOCH = opened(
    read(SPEC)[0].spec, MODEL,
    Start(
        rollout="r1", epoch=1, opens_ms=0, shares=(0.5,),
        salts=Salts(assignment="s", audit="a", rounding="r", self_check="c"),
    ),
    {"errors": Figure(mean=0.03), "often": Figure(mean=0.03), "missing": Figure(mean=0.01)},
)  # fmt: skip


def looks(rng, *, missing, errors):
    """Looks at requests of both arms: the share that is missing, and of the others that err."""
    assigned, answered, failed = (np.zeros(2, np.int64) for _ in range(3))
    peaks = {}
    for _ in range(LOOKS):
        here = rng.binomial(2 * REQUESTS, 0.5)
        new = np.array([2 * REQUESTS - here, here])
        there = new - rng.binomial(new, missing)
        assigned, answered = assigned + new, answered + there
        failed = failed + rng.binomial(there, errors)
        totals = {
            EPOCH.assigned: np.stack([assigned, answered], axis=1).ravel(),
            EPOCH.split: np.concatenate([np.zeros(len(SPLIT), np.int64), answered]),
        }
        known = [
            np.stack([answered, answered - failed, failed], axis=1),
            np.stack([answered, answered - failed, failed], axis=1),
            np.stack([assigned, answered, np.zeros(2, np.int64)], axis=1),
        ]
        for no, cells in enumerate(known):
            groups = np.stack([cells[0], np.zeros(3, np.int64), cells[1]])
            totals[EPOCH.what(no, EVERYWHERE)] = groups.ravel()
        plain = {what: tuple(cells.tolist()) for what, cells in totals.items()}
        found = judge(Look(epochs=(EPOCH,), totals=plain, peaks=peaks))
        peaks = found.peaks
        yield found, np.stack([assigned - answered, answered])


def verdicts(record):
    return {judged.metric: judged.verdict for judged in record.judged}


def seen_alone(record):
    """Whether the errors of those that were answered would be called safe by themselves."""
    without = {what: c for what, c in record.look.totals.items() if what != EPOCH.assigned}
    found = judge(Look(epochs=(EPOCH,), totals=without))
    return verdicts(found)["errors"] is Verdict.SAFE


def test_a_version_cannot_hide_its_errors_by_not_answering():
    """At the margin of errors once all is told: 4 % of its requests end badly against 3 %. But a
    point of them is never answered, and of all as many fail as the champion's."""
    safe = {"errors": 0, "naive": 0}
    for run in range(RUNS):
        rng = np.random.default_rng([21, run])
        ever = dict.fromkeys(safe, False)
        for record, _ in looks(rng, missing=(0.0, 0.01), errors=(0.03, 0.03 / 0.99)):
            ever["errors"] |= verdicts(record)["errors"] is Verdict.SAFE
        ever["naive"] = seen_alone(record)
        for kind in safe:
            safe[kind] += ever[kind]

    assert safe["naive"] >= 0.9 * RUNS, safe
    assert safe["errors"] <= most(RUNS), safe


def test_half_a_point_more_of_missing_answers_within_one_is_no_doubt():
    """The test of coverage alone takes the very difference that the spec allows for a broken
    measurement."""
    invalid, naive, safe = 0, 0, 0
    for run in range(RUNS):
        rng = np.random.default_rng([22, run])
        seen = list(looks(rng, missing=(0.01, 0.015), errors=(0.03, 0.03)))
        for each, _ in seen:
            invalid += Verdict.INVALID in verdicts(each).values() or bool(each.broken)
        record, cells = seen[-1]
        share = [Epoch(EventShare(EPOCH.challengers[0].pi), cells)]
        naive += coverage_test(share, alpha=0.001).rejects
        safe += set(verdicts(record).values()) == {Verdict.SAFE}

    assert naive >= 0.9 * RUNS
    assert invalid == 0
    assert safe >= 0.9 * RUNS


def test_missing_answers_at_their_limit_are_seldom_doubted_and_beyond_it_always():
    doubted = {}
    for extra in (0.01, 0.02):
        doubted[extra] = 0
        for run in range(RUNS):
            rng = np.random.default_rng([23, run])
            found = [
                Verdict.INVALID is verdicts(record)["errors"]
                for record, _ in looks(rng, missing=(0.01, 0.01 + extra), errors=(0.03, 0.03))
            ]
            doubted[extra] += any(found)

    assert doubted[0.01] <= 2
    assert doubted[0.02] >= 0.9 * RUNS
