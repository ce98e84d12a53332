"""A small world of accounts under a rollout, and what each is worth, said naively.

The reference keeps every event with the watermark that it met, and at the end walks from account to
account: who is compared, from when on, and what its events in each period come to. It knows no
buckets of rows, no cursors and no order of closing.
"""

import json
from collections import Counter
from hashlib import blake2b
from typing import Any

import numpy as np
from hypothesis import strategies as st

from evidence.names import Pair
from rollout.cells import Closed, Enrolled, Opened, Salts
from rollout.counted import Counted, Side
from rollout.epochs import Figure, Start, opened
from rollout.spec import read
from streams.hashing import KeyedHash, assignment_point, partition_of
from streams.models import Declaration, Slice, Term
from streams.plans import EpochPlan
from tests.streams.spine import LATENESS_MS, T0

MINUTE = 60_000
PARTITIONS = 2
MODEL = Declaration(
    model="spam", task="classification", classes=("ham", "spam"),
    horizons={"outcome": "20m", "feedback:tip": "20m", "feedback:stays": "10m"},
    slices=(Slice(name="new", where=(Term(tag="tier", equals="a"),), protected=True),),
)  # fmt: skip
SPEC = b"""
apiVersion: penstock/v1
kind: ModelRollout
metadata: {name: spam-42}
spec:
  model: spam
  route: default
  champion: {version: "41"}
  challengers: [{version: "42"}, {version: "43"}]
  assignment: {unit: account}
  slices: [new]
  metrics:
    - {name: errors, from: prediction, stat: rate, margin: {relative: 0.5}, crash: {ratio: 2},
       exposure: 10m}
    - {name: failing, from: prediction, of: errors, margin: {absolute: 0.01}, exposure: 5m}
    - {name: latency, from: prediction, stat: p95, margin: {relative: 0.1}, exposure: 10m}
    - {name: slow, from: prediction, of: latency, stat: mean, cap: 1000, margin: {absolute: 10},
       exposure: 10m}
    - {name: wrong, from: label, margin: {absolute: 0.01}, matures: 5m, missing: wrong,
       observed: always, exposure: 10m}
    - {name: misses, from: label, margin: {absolute: 0.01}, matures: 20m, missing: as-champion,
       observed: always}
    - {name: tip, from: feedback, stat: mean, cap: 50, better: higher, margin: {relative: 0.1},
       exposure: 20m}
    - {name: stays, from: feedback, stat: rate, better: higher, margin: {absolute: 0.1},
       exposure: 10m}
    - {name: disagreement, from: pair, ceiling: 0.2}
    - {name: mistakes, from: label, of: wrong, paired: true, margin: {absolute: 0.01}, matures: 12m,
       missing: wrong, observed: always, exposure: 20m}
    - {name: defects, from: audit, of: wrong, paired: true, margin: {absolute: 0.01}, matures: 20m}
  guardrails: [errors]
  audits: {rate: 0.5, boost: {disagreement: 2, protected: 1}}
  stages:
    - shadow: {require: [disagreement], deadline: 10d}
    - canary: {weights: [10, 20], dwell: 6h, require: guardrails, deadline: 4d}
"""
FIGURES = {"latency": Figure(quantile=100.0), "errors": Figure(mean=0.02), "tip": Figure(mean=3.0)}
SALTS = Salts(assignment="s", audit="a", rounding="r", self_check="c")
OPENS = T0
UNTIL, AGAIN = T0 + 40 * MINUTE, T0 + 55 * MINUTE
MOVES = T0 + 100 * MINUTE
CLOSES = MOVES + MINUTE
EPOCH = opened(
    read(SPEC)[0].spec, MODEL,
    Start(rollout="r1", epoch=5, opens_ms=OPENS, salts=SALTS, shares=(0.3, 0.2), given=(0.1, 0.05)),
    FIGURES,
)  # fmt: skip
PLANS = (
    Enrolled(rollout="r1", epoch=5, until_ms=UNTIL),
    Enrolled(rollout="r1", epoch=5, until_ms=UNTIL, again_ms=AGAIN),
    Closed(rollout="r1", epoch=5, closes_ms=CLOSES, moves_ms=MOVES),
)
ROUTES = [EpochPlan("spam", "default", 7, 5, "s")]
ARMS = ("champion", "42", "43")
VERSIONS = ("41", "42", "43")


LIVE = {
    "type": "io.penstock.prediction.v1", "model": "spam", "route_version": 7,
    "output": {"label": "ham"}, "latency_ms": 5, "tags": {"tier": "b"},
}  # fmt: skip


def lane(account: str) -> tuple[int, bool]:
    """(arm, whether a challenger had it before): 42 grows up from 0, 43 down from 1."""
    at = assignment_point("s", account)
    return (1 if at < 0.3 else 2 if at >= 0.8 else 0), at < 0.1 or at >= 0.95


def _some(wanted: tuple[int, bool], count: int) -> list[str]:
    return [name for k in range(200) if lane(name := f"acc-{k}") == wanted][:count]


ACCOUNTS = (*_some((0, False), 3), *_some((1, False), 2), *_some((2, False), 1),
            *_some((1, True), 1), *_some((2, True), 1))  # fmt: skip


def _one(draw: Any, *choices: Any) -> Any:
    return draw(st.sampled_from(choices))


def _answer(draw: Any, k: int, accounts: list[str]) -> dict[str, Any]:
    account = _one(draw, *accounts)
    arm = lane(account)[0]
    if draw(st.integers(0, 12)) == 0:
        arm = draw(st.integers(0, 2))  # perhaps another's lane
    event: dict[str, Any] = {
        "type": "io.penstock.prediction.v1", "prediction_id": f"p{k}", "unit_id": account,
        "version": VERSIONS[arm], "arm": ARMS[arm], "route_version": 7,
        "tags": {"tier": _one(draw, "a", "b")},
    }  # fmt: skip
    if draw(st.integers(0, 20)) == 0:
        del event["unit_id"]
    if draw(st.integers(0, 3)) == 0:
        return event | {"error": {"type": "Timeout"}}
    timed = _one(draw, {}, {"latency_ms": _one(draw, 1, 99.5, 105, 150, 5000)})
    return event | {"output": {"label": _one(draw, "ham", "spam")}} | timed


def _shadow(draw: Any, live: dict[str, Any]) -> dict[str, Any]:
    """Another version's answer to the same request."""
    version = _one(draw, *(each for each in VERSIONS if each != live["version"]))
    names = ("type", "prediction_id", "unit_id", "arm", "route_version", "tags")
    event = {name: live[name] for name in names if name in live}
    said = _one(draw, {"output": {"label": "ham"}}, {"output": {"label": "spam"}})
    return event | {"version": version, "role": "shadow"} | said


def _told(draw: Any, k: int, accounts: list[str], asked: list[Any]) -> dict[str, Any]:
    if draw(st.booleans()) and asked:
        request = _one(draw, *asked)["prediction_id"]
        if draw(st.booleans()):
            event = {
                "type": "io.penstock.label.v1", "label_id": f"l{k}", "prediction_id": request,
                "source": _one(draw, "outcome", "audit"), "label": _one(draw, "ham", "spam"),
            }  # fmt: skip
            return event | _one(draw, {}, {"supersedes": "l0"})
        return {"type": "io.penstock.feedback.v1", "name": _one(draw, "tip", "stays"),
                "prediction_id": request, "feedback_id": f"f{k}",
                "value": _one(draw, 0.5, 7, 80)}  # fmt: skip
    return {"type": "io.penstock.feedback.v1", "name": _one(draw, "tip", "stays", "other"),
            "unit_id": _one(draw, *accounts), "feedback_id": f"u{k}", "route": "default",
            "value": _one(draw, -3, 0.5, 7, 80)}  # fmt: skip


def _event(draw: Any, k: int, time: int, accounts: list[str], asked: list[Any]) -> dict[str, Any]:
    match _one(draw, "answer", "shadow", "told"):
        case "shadow" if asked:
            event = _shadow(draw, _one(draw, *asked))
        case "told":
            event = _told(draw, k, accounts, asked)
        case _:
            event = _answer(draw, k, accounts)
            asked.append(event)
    return {"model": "spam", "time": time, **event}


@st.composite
def histories(draw: Any) -> list[dict[str, Any]]:
    """Events as the log has them: strays, repeats, late ones, and those after the close."""
    appended, history, asked = T0, [], []
    accounts = draw(st.lists(st.sampled_from(ACCOUNTS), min_size=1, max_size=4, unique=True))
    for k in range(draw(st.integers(1, 30))):
        appended += _one(draw, 0, 1_000, 30_000, 90_000, 4 * MINUTE, 9 * MINUTE)
        if history and draw(st.integers(0, 9)) == 0:
            event = {**_one(draw, *history)}
        else:
            time = appended - _one(draw, 0, 0, 0, 1_000, 4 * MINUTE, 30 * MINUTE)
            event = _event(draw, k, time, accounts, asked)
        history.append(event | {"appended": appended})
    return history


@st.composite
def orderly(draw: Any) -> list[list[dict[str, Any]]]:
    """Windows of at most the lateness, without repeats."""
    begin, windows, asked = T0, [], []
    accounts = draw(st.lists(st.sampled_from(ACCOUNTS), min_size=1, max_size=4, unique=True))
    for w in range(draw(st.integers(1, 5))):
        begin += _one(draw, LATENESS_MS, 12 * MINUTE)
        window = []
        for k in range(draw(st.integers(1, 8))):
            time = begin + draw(st.integers(0, LATENESS_MS - 1))
            event = _event(draw, 100 * w + k + 1, time, accounts, asked)
            event.pop("supersedes", None)
            window.append(event | {"appended": begin + LATENESS_MS})
        windows.append(window)
    return windows


def home_of(event: dict[str, Any]) -> int:
    return partition_of("spam", event.get("prediction_id") or event["unit_id"], PARTITIONS)


def lines(event: dict[str, Any]) -> list[bytes]:
    return [json.dumps({k: v for k, v in event.items() if k != "appended"}).encode()]


def ends(at_ms: int) -> list[dict[str, Any]]:
    """An event on each partition, long after everything: all watermarks pass it."""
    found: dict[int, dict[str, Any]] = {}
    for k in range(20):
        event = {
            "type": "io.penstock.prediction.v1", "model": "spam", "prediction_id": f"end-{k}",
            "version": "41", "time": at_ms, "appended": at_ms, "output": {"label": "ham"},
        }  # fmt: skip
        found.setdefault(home_of(event), event)
    assert len(found) == PARTITIONS
    return list(found.values())


# --- the reference


class Reference:
    """What a history comes to: {counter: totals}."""

    def __init__(self, secret: bytes, epoch: Opened = EPOCH) -> None:
        self._secret, self._epoch = secret, epoch
        self._watermark: dict[int, int] = {}
        self._answers: dict[str, dict[str, Any]] = {}
        self._labels: dict[Any, list[dict[str, Any]]] = {}
        self._held: dict[Any, Any] = {}
        self._seen: set[Any] = set()
        self._given: list[tuple[str, str, int, float]] = []  # (metric, account, time, value)
        self._bad: set[tuple[str, str]] = set()
        self._shadows: dict[str, dict[str, Any]] = {}
        self._pairs: dict[Any, tuple[int, int]] = {}  # (metric, request, k) -> stratum, column
        self._paired: dict[str, list[tuple[int, bool]]] = {}  # by account: (time, is new)

    def take(self, event: dict[str, Any]) -> None:
        partition = home_of(event)
        met = self._watermark.get(partition, -(2**62))
        time = min(event["time"], event["appended"])
        self._watermark[partition] = max(met, time - LATENESS_MS)
        kind = event["type"].split(".")[2]
        names = {"prediction": "prediction_id", "label": "label_id", "feedback": "feedback_id"}
        about = event.get("prediction_id") if kind != "prediction" else None
        if (identity := (kind, about, event[names[kind]], event.get("role"),
                         event.get("version"))) in self._seen:  # fmt: skip
            return
        self._seen.add(identity)
        if event.get("role") == "shadow":
            there = self._shadows.setdefault(event["prediction_id"], {})
            there[event["version"]] = event | {"at": time}
            self._look_at_pairs(event["prediction_id"], met)
        elif kind == "prediction":
            self._answers[event["prediction_id"]] = event | {"met": met, "at": time}
            self._look(event["prediction_id"], met)
        elif "prediction_id" in event:
            source = event["source"] if kind == "label" else event["name"]
            self._labels.setdefault((event["prediction_id"], source), []).append(
                event | {"at": time, "rank": ("supersedes" in event, time, id8(event, kind))}
            )
            self._look(event["prediction_id"], met)
        elif OPENS <= time < CLOSES and self._timely(time, met, 10 * MINUTE):
            self._given.append((event["name"], event["unit_id"], time, event["value"]))

    def _timely(self, time: int, met: int, settles: int) -> bool:
        return met <= time // MINUTE * MINUTE + MINUTE + settles

    def _counts(self, request: str) -> bool:
        answer = self._answers.get(request)
        if answer is None or "unit_id" not in answer or "route_version" not in answer:
            return False
        return answer["at"] < CLOSES and ARMS[lane(answer["unit_id"])[0]] == answer["arm"]

    def _look_at_pairs(self, request: str, met: int) -> None:
        """Where each pair of the request stands by each metric changes while it is in time."""
        live = self._answers.get(request)
        if live is None or "unit_id" not in live or VERSIONS[ARMS.index(live["arm"])] != (
            live["version"]
        ) or not OPENS <= live["at"] < CLOSES:  # fmt: skip
            return
        for k in (1, 2):
            both = {live["version"]: live, **self._shadows.get(request, {})}
            pair = [both.get("41"), both.get(VERSIONS[k])]
            if None in pair or live not in pair:
                continue
            whole = max(each["at"] for each in pair)
            dues = []
            for no, metric in enumerate(self._epoch.metrics):
                if metric.side is not Side.PAIRS:
                    continue
                due = live["at"] // MINUTE * MINUTE + MINUTE + metric.own.settles_ms
                dues.append(due)
                if max(met, whole) <= due:
                    self._pairs[no, request, k] = self._pair(metric, request, pair, due)
            if max(met, whole) <= min(dues):
                seen = (live["at"], live["tags"]["tier"] == "a")
                self._paired.setdefault(live["unit_id"], []).append(seen)

    def _pair(self, metric: Counted, request: str, pair: Any, due: int) -> tuple[int, int]:
        said = [each["output"]["label"] if "output" in each else None for each in pair]
        stratum = int(said[0] != said[1]) if len(metric.q) > 1 else 0
        if metric.source == "pair":
            return stratum, 1 + (Pair.CHALLENGER_WRONG if said[0] != said[1] else Pair.EQUAL)
        number = assignment_point("a", blake2b(request.encode(), digest_size=16).digest().hex())
        if metric.source == "audit" and number >= metric.q[stratum]:
            return stratum, 5  # behind the four outcomes: nobody looks
        told = [e for e in self._labels.get((request, metric.label_source), []) if e["at"] <= due]
        if not told:
            return stratum, 0
        truth = max(told, key=lambda each: each["rank"])["label"]
        return stratum, 1 + {
            (False, False): Pair.EQUAL, (False, True): Pair.CHALLENGER_WRONG,
            (True, False): Pair.CHAMPION_WRONG, (True, True): Pair.BOTH_WRONG,
        }[said[0] != truth, said[1] != truth]  # fmt: skip

    def _look(self, request: str, met: int) -> None:
        """What is known of a request by each metric changes while it is in time."""
        self._look_at_pairs(request, met)
        if not self._counts(request):
            return
        answer = self._answers[request]
        for metric in self._epoch.metrics:
            if metric.side is Side.PAIRS or metric.label_source is None:
                continue
            source = metric.label_source.removeprefix("feedback:")
            told = self._labels.get((request, source), [])
            if source in ("outcome", "audit"):
                due = answer["at"] // MINUTE * MINUTE + MINUTE + metric.own.settles_ms
                told = [each for each in told if each["at"] <= due]
            best = max(told, key=lambda each: each["rank"], default=None)
            now = None if best is None else self._amount(metric, answer, best)
            if now is not None and now[1] > 0 and metric.crash:
                self._bad.add((metric.name, answer["unit_id"]))
            old = self._held.get((metric.name, request))
            times = [each[0] for each in (old, now) if each is not None]
            if all(self._timely(time, met, metric.own.settles_ms) for time in times):
                self._held[metric.name, request] = now

    def _amount(self, metric: Counted, answer: Any, label: Any) -> tuple[int, float]:
        if metric.source == "feedback":
            return label["at"], label["value"]
        said = answer["output"]["label"] if "output" in answer else None
        is_bad = said != label["label"]
        if metric.loss == "misses":
            is_bad &= label["label"] == "spam"
        return answer["at"], float(is_bad)

    def totals(self) -> dict[str, list[int]]:
        found: dict[str, Counter[Any]] = {}
        for account in ACCOUNTS:
            arm, had = lane(account)
            self._account_pairs(found, account)
            mine = [
                (answer, request) for request, answer in self._answers.items()
                if answer.get("unit_id") == account and self._counts(request)
            ]  # fmt: skip
            timely = [
                (answer, request) for answer, request in mine
                if answer["at"] >= OPENS and self._timely(answer["at"], answer["met"], 10 * MINUTE)
            ]  # fmt: skip
            if had or not timely:
                continue
            slot = [(a["at"], a["tags"]["tier"] == "a") for a, _ in timely]
            first, is_new = min(slot)
            if UNTIL <= first < AGAIN:
                continue
            found.setdefault(self._epoch.enrolled, Counter())[arm] += 1
            slots = (-1, 0) if is_new else (-1,)
            for no, metric in enumerate(self._epoch.metrics):
                if metric.side is Side.ARMS:
                    self._account(found, no, metric, account, arm, slots, first, (mine, timely))
            for no, metric in enumerate(self._epoch.metrics):
                if metric.crash and (
                    any("error" in answer for answer, _ in timely)
                    or (metric.name, account) in self._bad
                ):
                    found.setdefault(self._epoch.first_bad(no), Counter())[arm] += 1
        widths = {self._epoch.enrolled: (3,)}
        widths |= {self._epoch.first_bad(no): (3,) for no in range(len(self._epoch.metrics))}
        widths |= {self._epoch.pairs_of(no): (2, 2) for no in range(len(self._epoch.metrics))}
        vectors = {}
        for what, cells in found.items():
            no = int(what.split("/")[2]) if what.count("/") > 2 else 0
            metric = self._epoch.metrics[no]
            vector = np.zeros(widths.get(what, (metric.groups(2), metric.columns)), np.int64)
            for place, count in cells.items():
                vector[place] += count
            vectors[what] = vector.ravel().tolist()
        return vectors

    def _account_pairs(self, found: Any, account: str) -> None:
        """One of its pairs with each challenger, within the exposure from its first on."""
        if account not in self._paired:
            return
        first, is_new = min(self._paired[account])
        enrolled = first // MINUTE * MINUTE
        secret = KeyedHash(self._secret).of([account])[0].to_bytes(8, "big", signed=True).hex()
        for no, metric in enumerate(self._epoch.metrics):
            if metric.side is not Side.PAIRS or enrolled + metric.own.exposure_ms > MOVES:
                continue
            for k in (1, 2):
                mine = sorted(
                    place for (of, request, with_k), place in self._pairs.items()
                    if (of, with_k) == (no, k) and self._answers[request]["unit_id"] == account
                    and enrolled <= self._answers[request]["at"] < enrolled + metric.own.exposure_ms
                )  # fmt: skip
                if not mine:
                    continue
                u = assignment_point(f"r/pair\0{metric.name}", secret)
                stratum, column = mine[int(u * len(mine))]
                for slot in (-1, 0) if is_new else (-1,):
                    cells = found.setdefault(self._epoch.what(no, slot), Counter())
                    group = (k - 1) * len(metric.q) + stratum
                    cells[group, 0] += 1
                    cells[group, column] += column > 0
                both = found.setdefault(self._epoch.pairs_of(no), Counter())
                both[k - 1, 0] += len(mine)
                both[k - 1, 1] += sum(0 < column < 5 for _, column in mine)

    def _account(self, found: Any, no: int, metric: Counted, account: str, arm: int, slots: Any,
                 first: int, answers: Any) -> None:  # fmt: skip
        enrolled, exposure = first // MINUTE * MINUTE, metric.own.exposure_ms
        starts, end, period = 0, exposure, 1
        while enrolled + end <= MOVES:
            span = range(enrolled + starts, enrolled + end)
            value = self._value(metric, account, span, *answers)
            secret = KeyedHash(self._secret).of([account])[0].to_bytes(8, "big", signed=True).hex()
            group = int(assignment_point("c", secret) * 2) if arm == 0 else arm + 1
            for slot in slots:
                cells = found.setdefault(self._epoch.what(no, slot, period), Counter())
                cells[group, 0] += 1
                if value is not None:
                    u = assignment_point(f"r\0{metric.name}\0{period}", secret)
                    cells[group, 1 + level(metric, value, u)] += 1
            starts, end, period = end, 2 * end, period + 1

    def _value(self, metric: Counted, account: str, span: range, mine: Any, timely: Any) -> Any:
        inside = [answer for answer, _ in timely if answer["at"] in span]
        if metric.source == "prediction":
            told = [self._own(metric, answer, account) for answer in inside]
            if metric.own.stat == "any":
                return float(any(told)) if told else None
            return sum(told) / len(told) if told else None
        held = [self._held.get((metric.name, request)) for _, request in mine]
        known = [each[1] for each in held if each is not None and each[0] in span]
        if metric.source == "label":
            if metric.missing == 0 or metric.own.absent is None:
                return sum(known) / len(known) if known else None
            blank = max(0, len(inside) - len(known))
            whole = len(known) + blank
            return (sum(known) + blank) / whole if whole else None
        known += [v for name, who, time, v in self._given
                  if (name, who) == (metric.name, account) and time in span]  # fmt: skip
        if not known:
            return None
        return 1.0 if metric.own.stat == "any" else sum(known)

    def _own(self, metric: Counted, answer: Any, account: str) -> float:
        if metric.loss == "errors":
            return float("error" in answer)
        latency = answer.get("latency_ms", float("inf"))
        if metric.thresholds:
            return float(latency > metric.thresholds[lane(account)[0] > 0])
        return min(latency, 1000)


def id8(event: dict[str, Any], kind: str) -> bytes:
    return blake2b(event[f"{kind}_id"].encode(), digest_size=8).digest()


def level(metric: Counted, value: float, u: float) -> int:
    """The neighbouring level, the upper one with the probability that keeps the mean."""
    levels = [each for each in metric.levels if each != metric.centre]
    value = min(max(value, 0.0), levels[-1])
    upper = next(k for k, each in enumerate(levels) if each >= value and k)
    share = (value - levels[upper - 1]) / (levels[upper] - levels[upper - 1])
    return upper if u < share else upper - 1
