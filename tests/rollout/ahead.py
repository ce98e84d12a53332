"""Worlds that plans are made of."""

import re

from rollout.courses import course
from rollout.drawing import World
from rollout.planning import Ask, plan
from rollout.rates import Rate, Rates
from rollout.scenarios import scenarios
from rollout.spec import read
from streams.models import Costs, Declaration

T0 = 1_750_000_000_000
LATENESS_MS = 120_000
MODEL = Declaration(
    model="spam", task="classification", classes=("ham", "spam"), positive="spam",
    horizons={"outcome": "2h", "audit": "1h", "feedback:spend": "1h"},
    costs=Costs(false_alarm=1.0, miss=5.0),
)  # fmt: skip
METRICS = """
    - {name: errors, from: prediction, stat: rate, margin: {absolute: 0.02}, exposure: 20m}
    - {name: rare_errors, from: prediction, of: errors, margin: {relative: 0.5}, exposure: 20m}
    - {name: slow, from: prediction, of: latency, stat: p95, margin: {relative: 0.2}, exposure: 20m}
    - {name: slower, from: prediction, of: latency, stat: mean, cap: 500, margin: {absolute: 20},
       exposure: 20m}
    - {name: disagreement, from: pair, stat: rate, ceiling: 0.1}
    - {name: wrong, from: label, margin: {absolute: 0.02}, matures: 2h, missing: as-champion,
       observed: always}
    - {name: common, from: label, of: wrong, margin: {relative: 0.2}, matures: 2h, missing: right,
       observed: always}
    - {name: cost, from: label, stat: mean, cap: 5, margin: {absolute: 0.1}, matures: 2h,
       missing: as-champion, observed: always}
    - {name: paired, from: label, of: wrong, paired: true, margin: {absolute: 0.02}, matures: 2h,
       missing: as-champion, observed: always}
    - {name: defects, from: audit, paired: true, margin: {absolute: 0.02}, matures: 1h}
    - {name: worse, from: audit, of: wrong, paired: true, margin: {relative: 0.3}, matures: 1h}
    - {name: spend, from: feedback, stat: mean, cap: 100, better: higher, margin: {relative: 0.1},
       exposure: 1h}
"""
NAMES = tuple(re.findall(r"name: (\w+)", METRICS))
RATES = Rates(
    units=3_000, disagree=0.06,
    metrics={
        "errors": Rate(mean=0.05), "rare_errors": Rate(mean=0.05), "common": Rate(mean=0.3),
        "wrong": Rate(mean=0.1, labelled=0.9), "defects": Rate(mean=0.05, labelled=0.95),
        "spend": Rate(mean=10.0, sd=20.0), "slower": Rate(mean=100.0, sd=80.0),
    },
)  # fmt: skip


MISSING = """
    - {name: unanswered, from: prediction, of: missing, margin: {absolute: 0.05}}
"""


def spec(
    *, unit="request", guardrails=NAMES, stages, blind="30d", units=4_000, may_miss=False
):  # fmt: skip
    return read(
        f"""
apiVersion: penstock/v1
kind: ModelRollout
metadata: {{name: spam-42}}
spec:
  model: spam
  route: default
  champion: {{version: "41"}}
  challengers: [{{version: "42"}}]
  assignment: {{unit: {unit}}}
  metrics:{METRICS.rstrip() + (MISSING if may_miss else "")}
  guardrails: [{", ".join(guardrails)}]
  judge: {{plannedUnits: {units}}}
  audits: {{rate: 0.2, boost: {{disagreement: 5}}}}
  blindAfter: {blind}
  stages:
{stages}
""".encode()
    )[0]


def world(declared, scenario="equal", *, a_day=20_000, rates=RATES):
    """The world of one of the plan's own scenarios, by its name, or of another."""
    known = {each.name: each for each in scenarios(declared.spec, rates, {})}
    found = known[scenario] if isinstance(scenario, str) else scenario
    return World(
        declared.spec, MODEL, course(declared.spec), rates, found,
        requests_a_day=a_day, lateness_ms=LATENESS_MS,
    )  # fmt: skip


def planned(declared, *, a_day=20_000, rates=RATES, futures=60, seed=0, **fields):
    ask = Ask(
        declared=declared, declaration=MODEL, stated=rates, requests_a_day=a_day, from_ms=T0,
        lateness_ms=LATENESS_MS, futures=futures, seed=seed, **fields,
    )  # fmt: skip
    return plan(ask, tell=lambda _: None)


def fate(found, scenario="equal"):
    [one] = [each for each in found.fates if each.scenario == scenario]
    return one


def step(found, name, scenario="equal"):
    [one] = [each for each in found.steps if (each.scenario, each.step) == (scenario, name)]
    return one
