"""What a plan sees of drawn counts is what the judge says of them, verdict by verdict."""

import numpy as np
import pytest
from msgspec.structs import replace

from evidence.decision import Verdict
from rollout.cells import EVERYWHERE
from rollout.counted import HALVES, Side
from rollout.courses import Kind, Place
from rollout.drawing import Drawn
from rollout.judge import judge
from rollout.knowledge import reached
from rollout.looks import Look, key_of
from rollout.sighting import Bench
from rollout.spec import HarmBudget
from rollout.tested import counted, missing_of
from rollout.traffic import traffic
from streams.models import DAY_MS, HOUR_MS
from tests.rollout.ahead import T0, spec, world

STAGES = """
    - shadow: {require: guardrails, deadline: 4d}
    - canary: {weights: [10, 30], dwell: 1h, require: guardrails, deadline: 4d}
"""
BUDGET = HarmBudget(metric="wrong", extra=40)


def epochs(found, rng):
    """A day in shadow, six hours at 10 %, and what begins at 30 % then."""
    drawn, given, at_ms = [], (), T0
    for step, hours in enumerate((24, 6, 48)):
        kind = Kind.CANARY if step else Kind.SHADOW
        who = traffic(found.spec, found.course, Place(kind, step), dropped=())
        drawn.append(Drawn(found, found.frame(who, given), rng, at_ms))
        given = who.shares if step else ()
        at_ms += hours * HOUR_MS
        drawn[-1].closes_ms = at_ms
    return drawn


def look_of(drawn, times, at, peaks):
    """The look that production would take of the same counts."""
    opened, totals = [], {}
    for number, each in enumerate(drawn, start=1):
        body = replace(each.opened, epoch=number, opens_ms=each.opens_ms)
        opened.append(body)
        for no in range(len(body.metrics)):
            totals[body.what(no, EVERYWHERE)] = tuple(each.cells(no, times)[at].tolist())
            if body.metrics[no].own is not None and body.metrics[no].side is Side.PAIRS:
                totals[body.pairs_of(no)] = tuple(each.pairs(no, times)[at].ravel().tolist())
        missing = missing_of(body)
        if missing is not None:
            groups = counted(body, body.metrics[missing], each.cells(missing, times)[at])[:, :2]
            assigned = np.stack([groups[:HALVES].sum(axis=0), *groups[HALVES:]])
            totals[body.assigned] = tuple(assigned.ravel().tolist())
        arms = tuple(each.arms(times)[at].tolist())
        totals[body.enrolled if body.sticky else body.split] = (
            arms if body.sticky else (0, 0, 0, 0, *arms)
        )
        for no, metric in enumerate(body.metrics):
            if metric.own is not None and metric.label_source is not None:
                told = int(each.cells(no, times)[at].sum())
                totals[body.corrected(no)] = (0, 0, told)
    return Look(epochs=tuple(opened), totals=totals, peaks=peaks)


@pytest.mark.parametrize("unit", ["request", "account"])
def test_floors_of_audits_are_met_by_pairs_that_people_look_at(unit):
    found = world(spec(unit=unit, stages=STAGES), "equal")
    shadow = epochs(found, np.random.default_rng(4))[0]
    times = T0 + np.array([30]) * HOUR_MS

    seen = Bench(("defects",)).sight([shadow], times, since_ms=T0).reached_at(0)["42"]

    looked = 0.2 * (1 - 0.06) + 1.0 * 0.06  # of agreements, and of all disagreements
    assert seen.audited == pytest.approx(looked * 0.95 * seen.pairs, rel=0.05)


@pytest.mark.parametrize(
    ("unit", "scenario", "may_miss"),
    [
        ("request", "equal", False), ("request", "worse by the margin", False),
        ("request", "worse by twice the margin", False), ("request", "equal", True),
        ("account", "equal", False), ("account", "worse by twice the margin", False),
    ],
)  # fmt: skip
def test_verdicts_and_floors_are_the_judges_own(unit, scenario, may_miss):
    found = world(spec(unit=unit, stages=STAGES, may_miss=may_miss), scenario)
    names = tuple(found.spec.by_name)
    drawn = epochs(found, np.random.default_rng(3))
    times = T0 + np.array([1, 26, 30, 36, 42, 78]) * HOUR_MS
    shown = Bench(names, BUDGET).sight(drawn, times, since_ms=T0 + DAY_MS)

    peaks, kinds, over = {}, set(), set()
    for at in range(len(times)):
        look = look_of(drawn, times, at, peaks)
        record = judge(look)
        peaks = record.peaks
        said = {v.metric: v for v in record.judged}
        seen = {v.metric: v.verdict for v in shown.verdicts(at)}
        assert seen == {name: v.verdict for name, v in said.items()}
        for account in shown.accounts:
            peak = peaks.get(key_of("42", account.metric, ""), -np.inf)
            assert account.peaks[at] == pytest.approx(peak, abs=1e-6)
        assert shown.reached_at(at) == reached(look, since_ms=T0 + DAY_MS)
        kinds |= set(seen.values())
        [spent] = [each for each in record.extra if each.metric == "wrong"] or [None]
        least, about = shown.cost(at, dropped=())
        if spent is not None:
            assert about == pytest.approx(spent.estimate)
            assert (least > BUDGET.extra) == (spent.least > BUDGET.extra)
            over.add(least > BUDGET.extra)

    wanted = {"equal": Verdict.SAFE, "worse by twice the margin": Verdict.HARM}
    assert {wanted.get(scenario, Verdict.UNDECIDED), Verdict.NO_DATA} <= kinds
    assert (True in over) == (unit == "request" and scenario != "equal")  # few accounts, few errors
