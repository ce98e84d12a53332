"""A spec on recorded traffic: what it would have done, when, and at what cost."""

import random
import uuid

import pytest
from msgspec.structs import replace

from penstock.backtest import played
from penstock.recorded import Read
from rollout.courses import Kind
from rollout.spec import read
from streams.errors import InputError
from streams.events import Label, Output, Prediction
from streams.models import DAY_MS, Declaration

MINUTE = 60_000
T0 = 1_750_000_000_000
MODEL = Declaration(
    model="spam", task="classification", classes=("ham", "spam"), positive="spam",
    pair_horizon="10m", horizons={"outcome": "30m"},
)  # fmt: skip
SPEC = b"""
apiVersion: penstock/v1
kind: ModelRollout
metadata: {name: spam-42}
spec:
  model: spam
  route: default
  champion: {version: "41"}
  challengers: [{version: "42"}]
  assignment: {unit: request}
  metrics:
    - {name: errors, from: prediction, stat: rate, margin: {absolute: 0.1}}
    - {name: wrong, from: label, stat: rate, margin: {absolute: 0.1}, matures: 30m,
       missing: as-champion, observed: always}
  guardrails: [errors, wrong]
  judge: {plannedUnits: 800}
  blindAfter: 6h
  stages:
    - canary: {weights: [20, 50], dwell: 1h, require: guardrails, min: {units: 100}, deadline: 4d}
    - approval: {count: 2, from: [risk], deadline: 1d}
    - full: {probation: 2h}
"""
DECLARED = read(SPEC)[0]


def traffic(*, wrong, days=1.0, a_day=2_400, is_paired=True, seed=7, begin_ms=T0):
    """Live answers of 41, perhaps 42's in shadow, labels ten minutes later; `wrong` is 42's share.

    Without pairs each version answers every other request.
    """
    draw = random.Random(seed)
    events = []
    for k in range(int(days * a_day)):
        at_ms = begin_ms + k * DAY_MS // a_day
        pid = str(uuid.UUID(f"{at_ms:012x}7{draw.getrandbits(76):019x}"))
        truth = draw.choice(["ham", "spam"])
        shares = {"41": 0.1, "42": wrong}
        versions = ["41", "42"] if is_paired else [draw.choice(["41", "42"])]
        for version in versions:
            is_wrong = draw.random() < shares[version]
            said = truth if not is_wrong else {"ham": "spam", "spam": "ham"}[truth]
            events.append(
                Prediction(
                    model="spam", time=at_ms, prediction_id=pid, version=version,
                    role="live" if version == versions[0] else "shadow", output=Output(label=said),
                )
            )  # fmt: skip
        events.append(
            Label(model="spam", time=at_ms + 10 * MINUTE, label_id=pid, prediction_id=pid,
                  label=truth)
        )  # fmt: skip
    return sorted(events, key=lambda event: event.time)


def tried(events, declared=DECLARED):
    told = []

    def tell(_share, lines):
        told.extend(lines)

    found = played(MODEL, declared, events, read=Read(total=1), tell=tell)
    return found, told


def test_a_worse_version_would_have_gone_back_and_cost_less_than_at_once():
    found, told = tried(traffic(wrong=0.4))

    assert found.stage is Kind.ROLLED_BACK
    assert [line.signal for line in told] == ["harm", "restored"]
    costs = {cost.policy: cost.wrong for cost in found.costs}
    assert costs["champion alone"] < costs["as decided"] < costs["challenger at once"] / 2
    alone, decided, at_once = (cost.labelled for cost in found.costs)
    assert alone == decided == at_once
    assert found.traffic.unknown == 0


def test_in_a_supervised_stage_every_answer_is_confirmed():
    stage = b"""
    - supervised: {weight: 20, where: {tag: country, in: [BR]}, confirmWithin: 10m,
                   min: {units: 15}, deadline: 3d}
"""
    declared = read(SPEC.replace(b"  stages:\n", b"  stages:" + stage))[0]
    tagged = [
        replace(each, tags={"country": "BR" if each.prediction_id[-1] < "8" else "NL"})
        if isinstance(each, Prediction)
        else each
        for each in traffic(wrong=0.02, days=0.25)
    ]

    found, told = tried(tagged, declared)

    assert (told[0].signal, told[0].before, told[0].after) == ("advance", "supervised", "canary")
    assert found.traffic.unknown == 0


def test_a_better_one_would_be_at_full_weight_with_fewer_wrong_answers():
    found, told = tried(traffic(wrong=0.02))

    assert found.stage is Kind.DONE
    assert [line.signal for line in told] == [
        "advance", "advance", "sign", "sign", "advance", "finish"
    ]  # fmt: skip
    costs = {cost.policy: cost for cost in found.costs}
    assert costs["as decided"].wrong < 0.9 * costs["champion alone"].wrong
    assert costs["as decided"].wrong == (
        costs["as decided"].misses + costs["as decided"].false_alarms
    )


def test_a_recorded_split_serves_too_and_what_nobody_answered_is_left_out():
    found, _ = tried(traffic(wrong=0.4, is_paired=False, days=1.5))

    assert found.stage is Kind.ROLLED_BACK
    assert 0.4 < found.traffic.unknown / found.traffic.requests < 0.6
    assert found.costs == []  # no request tells what the other version would have said


def test_the_same_events_in_another_order_within_the_delay_are_the_same_story():
    events = traffic(wrong=0.4, days=0.5)
    other = sorted(
        events, key=lambda event: event.time + random.Random(event.time).random() * MINUTE
    )

    assert tried(events)[0] == tried(other)[0]


def test_what_cannot_start_says_why():
    with pytest.raises(InputError, match="no event of model 'spam'"):
        tried([])
    quantile = SPEC.replace(
        b"    - {name: errors, from: prediction, stat: rate, margin: {absolute: 0.1}}",
        b"    - {name: errors, from: prediction, of: latency, stat: p95, margin: {relative: 0.1}}",
    )
    with pytest.raises(InputError, match="errors: the champion's p95 is not known"):
        tried(traffic(wrong=0.1, days=0.2), read(quantile)[0])


def test_sticky_accounts_are_played_too():
    spec = SPEC.replace(b"{unit: request}", b"{unit: account}").replace(
        b"rate, margin: {absolute: 0.1}}", b"rate, margin: {absolute: 0.1}, exposure: 20m}"
    )
    events = [
        replace(event, unit_id=f"account-{event.prediction_id[-6:]}")
        if isinstance(event, Prediction)
        else event
        for event in traffic(wrong=0.5)
    ]

    found, told = tried(events, read(spec)[0])

    assert found.stage is Kind.ROLLED_BACK
    assert [line.signal for line in told] == ["harm", "restored"]
