"""A small world of requests under a rollout, the real pass over it, and a naive oracle.

The oracle asks after every event anew which cell each unit and pair of its request stands in, and
keeps the answer unless the cell's pane is frozen by then. It adds nothing up on the way and knows
no deltas, so it cannot share a mistake of linearity with the collector.
"""

import json
import uuid
from collections import Counter
from hashlib import blake2b
from typing import Any

from hypothesis import strategies as st

from evidence.paired import Pair
from rollout.cells import SPLIT, Closed, Opened, Salts
from rollout.counted import Counted, Side
from rollout.epochs import Figure, Start, opened
from rollout.spec import read
from streams.hashing import partition_of
from streams.models import Costs, Declaration, Slice, Term
from streams.plans import EpochPlan
from tests.streams.spine import LATENESS_MS, T0

MINUTE = 60_000
PARTITIONS = 2
MODEL = Declaration(
    model="spam", task="classification", classes=("ham", "spam"), pair_horizon="10m",
    horizons={"outcome": "20m", "audit": "20m", "feedback:tip": "10m"},
    costs=Costs(false_alarm=1.0, miss=5.0),
    slices=(
        Slice(name="br", where=(Term(tag="country", equals="BR"),)),
        Slice(name="new", where=(Term(tag="tier", equals="a"),), protected=True),
    ),
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
  slices: [br, new]
  metrics:
    - {name: errors, from: prediction, stat: rate, margin: {relative: 0.5}}
    - {name: latency, from: prediction, stat: p95, margin: {relative: 0.1}}
    - {name: slow, from: prediction, of: latency, stat: mean, cap: 1000, margin: {absolute: 10}}
    - {name: missing, from: prediction, margin: {absolute: 0.01}}
    - {name: disagreement, from: pair, ceiling: 0.2}
    - {name: misses, from: label, margin: {absolute: 0.01}, matures: 20m, missing: as-champion,
       observed: always}
    - {name: costs, from: label, of: cost, stat: mean, cap: 4, margin: {absolute: 1}, matures: 3m,
       missing: wrong, observed: always}
    - {name: wrong, from: label, paired: true, margin: {absolute: 0.01}, matures: 10m,
       missing: as-champion, observed: always}
    - {name: defects, from: audit, of: wrong, paired: true, margin: {absolute: 0.01}, matures: 5m}
    - {name: blunders, from: audit, of: misses, paired: false, margin: {absolute: 0.05},
       matures: 5m}
    - {name: tip, from: feedback, stat: mean, cap: 50, better: higher, margin: {relative: 0.1},
       exposure: 10m}
  guardrails: [errors, missing]
  audits: {rate: 0.5, boost: {disagreement: 2, protected: 2}}
  stages:
    - shadow: {require: [disagreement], deadline: 10d}
    - canary: {weights: [20], dwell: 6h, require: guardrails, deadline: 4d}
"""
_DECLARED = read(SPEC)[0].spec
FIGURES = {"latency": Figure(quantile=100.0), "errors": Figure(mean=0.02), "tip": Figure(mean=3.0)}
SALTS = Salts(assignment="s", audit="a", rounding="r", self_check="c")
SHADOW_ENDS, CANARY_ENDS = T0 + 20 * MINUTE, T0 + 60 * MINUTE


def epochs(*, expects_pairs: bool = True) -> list[Opened]:
    """A shadow by time, and a canary by route version 7."""
    shadow = Start(rollout="r1", epoch=1, opens_ms=0, salts=SALTS, shares=(0.0, 0.0))
    canary = Start(
        rollout="r1", epoch=2, opens_ms=SHADOW_ENDS, salts=SALTS, shares=(0.3, 0.2),
        expects_pairs=expects_pairs,
    )  # fmt: skip
    return [opened(_DECLARED, MODEL, start, FIGURES) for start in (shadow, canary)]


ROUTES = [EpochPlan("spam", "default", 7, 2)]
CLOSED = [Closed(rollout="r1", epoch=1, closes_ms=SHADOW_ENDS),
          Closed(rollout="r1", epoch=2, closes_ms=CANARY_ENDS)]  # fmt: skip
_IDS = [str(uuid.UUID(f"{T0:012x}70008000{k:012x}")) for k in range(12)]
IDS = (*_IDS, "plain-id")
ARMS = ("champion", "42", "43")
VERSIONS = ("41", "42", "43")


def drawn(salt: str, text: str) -> float:
    digest = blake2b(f"{salt}\0{text}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def arm_of(request: str) -> int:
    """Two challengers share a lane and grow from its ends."""
    at = drawn("s", request)
    return 1 if at < 0.3 else 2 if at >= 0.8 else 0


def _one(draw: Any, *choices: Any) -> Any:
    return draw(st.sampled_from(choices))


def _answer(draw: Any, request: str, time: int, *, loose: bool) -> dict[str, Any]:
    astray = loose and draw(st.integers(0, 5)) == 0
    live = draw(st.integers(0, 2)) if astray else arm_of(request)  # perhaps another's lane
    version = live if draw(st.booleans()) else draw(st.integers(0, 2))
    role = "live" if version == live else "shadow"
    arm = ARMS[draw(st.integers(0, 2)) if astray and draw(st.booleans()) else live]
    event: dict[str, Any] = {
        "type": "io.penstock.prediction.v1", "prediction_id": request, "role": role,
        "version": VERSIONS[version], "arm": arm, "tags": {},
    }  # fmt: skip
    route_version = _one(draw, 7, 7, 9) if loose else 7
    if time >= SHADOW_ENDS and not (loose and draw(st.integers(0, 5)) == 0):
        event["route_version"] = route_version
    # A pure function of the id, as all of a request's tags are.
    for name, value, share in (("country", "BR", 0.5), ("tier", "a", 0.4)):
        if drawn(name, request) < share:
            event["tags"][name] = value
    if draw(st.integers(0, 4)) == 0:
        return event | {"error": {"type": "Timeout"}}
    output = {"label": _one(draw, "ham", "spam", "eggs")}
    timed = _one(draw, {}, {"latency_ms": _one(draw, 1, 99.5, 105, 150, 5000)})
    return event | {"output": output} | timed


def _event(draw: Any, time: int, ids: list[str], *, loose: bool) -> dict[str, Any]:
    request = _one(draw, *ids)
    match _one(draw, "answer", "answer", "answer", "label", "label", "tip", "assigned"):
        case "answer":
            event = _answer(draw, request, time, loose=loose)
        case "label":
            event = {
                "type": "io.penstock.label.v1", "label_id": _one(draw, "l1", "l2", "l3"),
                "prediction_id": request, "source": _one(draw, "outcome", "audit"),
                "label": _one(draw, "ham", "spam", "spam", "eggs"),
            }  # fmt: skip
            if loose and draw(st.booleans()):
                event["supersedes"] = "l1"
                event |= {"label": None} if draw(st.booleans()) else {}
                event = {k: v for k, v in event.items() if v is not None}
        case "tip":
            event = {"type": "io.penstock.feedback.v1", "name": "tip", "prediction_id": request,
                     "feedback_id": f"f-{request}", "value": _one(draw, 0.5, 7, 80)}  # fmt: skip
        case _:
            answered = draw(st.integers(0, 3))
            event = {
                "type": "io.penstock.assigned.v1", "instance": _one(draw, "i1", "i2"),
                "minute": time // MINUTE * MINUTE, "arm": _one(draw, *ARMS), "route_version": 7,
                "assigned": answered + draw(st.integers(0, 2)), "answered": answered, "dropped": 0,
            }  # fmt: skip
    return {"model": "spam", "time": time, **event}


def home_of(event: dict[str, Any]) -> int:
    return partition_of("spam", event.get("prediction_id") or event["instance"], PARTITIONS)


Sent = tuple[int, int, list[bytes]]


@st.composite
def histories(draw: Any) -> list[dict[str, Any]]:
    """Events as the log has them, each with its `appended`: strays, repeats, late ones."""
    appended, history = T0, []
    ids = draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=4, unique=True))
    for _ in range(draw(st.integers(1, 25))):
        appended += _one(draw, 0, 1_000, 30_000, 90_000, 5 * MINUTE, 15 * MINUTE)
        if history and draw(st.integers(0, 7)) == 0:
            event = {**_one(draw, *history)}
        else:
            time = appended - _one(draw, 0, 0, 1_000, 4 * MINUTE, 30 * MINUTE)
            event = _event(draw, time, ids, loose=True)
        history.append(event | {"appended": appended})
    return history


@st.composite
def orderly(draw: Any) -> list[list[dict[str, Any]]]:
    """Windows of at most the lateness, without contradictions."""
    begin, windows = T0, []
    ids = draw(st.lists(st.sampled_from(IDS[:12]), min_size=1, max_size=4, unique=True))
    said: dict[Any, dict[str, Any]] = {}
    for _ in range(draw(st.integers(1, 4))):
        begin += _one(draw, LATENESS_MS, 12 * MINUTE)
        window = []
        for _ in range(draw(st.integers(1, 8))):
            time = begin + draw(st.integers(0, LATENESS_MS - 1))
            event = _event(draw, time, ids, loose=False)
            if "instance" not in event:
                names = ("type", "prediction_id", "version", "source", "label_id")
                event = said.setdefault(tuple(event.get(n) for n in names), event)
            window.append(event | {"appended": begin + LATENESS_MS})
        windows.append(window)
    return windows


def lines(event: dict[str, Any]) -> list[bytes]:
    return [json.dumps({k: v for k, v in event.items() if k != "appended"}).encode()]


# --- the oracle


class Oracle:
    """The cells that a history comes to, as {(what, pane, partition): {place: count}}."""

    def __init__(self, bodies: list[Opened]) -> None:
        self._epochs = {body.epoch: body for body in bodies}
        self._closes = {body.epoch: body.closes_ms for body in CLOSED}
        self._watermark: dict[int, int] = {}
        self._answers: dict[str, dict[str, Any]] = {}
        self._labels: dict[str, list[dict[str, Any]]] = {}
        self._assigned: dict[Any, tuple[int, int]] = {}
        self._held: dict[Any, Any] = {}  # (epoch, metric, unit) -> where it stands, or None
        self._first: dict[Any, int] = {}
        self.cells: dict[Any, Counter[Any]] = {}

    def take(self, event: dict[str, Any]) -> None:
        partition = home_of(event)
        met = self._watermark.get(partition, -(2**62))
        if event["type"] == "io.penstock.assigned.v1":
            self._assign(event, partition, met)
        else:
            request = event["prediction_id"]
            if self._accept(event):
                self._look(request, partition, met)
        reached = min(event["time"], event["appended"]) - LATENESS_MS
        self._watermark[partition] = max(met, reached)

    def _accept(self, event: dict[str, Any]) -> bool:
        request = event["prediction_id"]
        if "version" in event:
            there = self._answers.setdefault(request, {})
            if event["version"] in there:
                return False
            live = [a for a in there.values() if a["role"] == "live" and not a["conflict"]]
            conflict = bool(live) and event["role"] == "live"
            there[event["version"]] = event | {"conflict": conflict, "at": len(there)}
            return True
        kind = event.get("source") or "tip"
        identity = (kind, event.get("label_id") or event.get("feedback_id"))
        known = self._labels.setdefault(request, [])
        if any(label["identity"] == identity for label in known):
            return False
        known.append(event | {"identity": identity, "kind": kind})
        return True

    def _look(self, request: str, partition: int, met: int) -> None:
        """Where the request's units and pairs stand now, unless their panes are frozen."""
        for epoch in self._epochs.values():
            for no, metric in enumerate(epoch.metrics):
                for unit, time, slices, place in self._standing(epoch, metric, request):
                    self._keep((epoch.epoch, no, request, unit), metric, epoch, no, time, slices,
                               place, partition, met)  # fmt: skip
            for unit, time, place in self._split(epoch, request):
                self._add(epoch.split, 600_000, time, partition, met, place,
                          once=(epoch.epoch, request, unit))  # fmt: skip

    def _keep(self, key: Any, metric: Any, epoch: Opened, no: int, time: int, slices: Any,
              place: Any, partition: int, met: int) -> None:  # fmt: skip
        width, due = due_of(time, metric.horizon_ms)
        if met > due:
            return
        pane = time // width * width
        old = self._held.get(key)
        self._held[key] = place
        for slot in (-1, *slices):
            cells = self.cells.setdefault((epoch.what(no, slot), pane, partition), Counter())
            for group, column in old or ():
                cells[group, column] -= 1
            for group, column in place:
                cells[group, column] += 1

    def _add(self, what: str, horizon: int, time: int, partition: int, met: int, place: Any, *,
             once: Any) -> None:  # fmt: skip
        width, due = due_of(time, horizon)
        if once in self._first:
            return
        self._first[once] = 1
        if met <= due:
            pane = time // width * width
            self.cells.setdefault((what, pane, partition), Counter())[place] += 1

    # who is who

    def _epoch_of(self, answer: dict[str, Any]) -> int:
        version = answer.get("route_version")
        if version is not None:
            return 2 if version == 7 else 0
        time = min(answer["time"], answer["appended"])
        return 1 if time < SHADOW_ENDS else 2 if time < CANARY_ENDS else 0

    def _mine(self, epoch: Opened, answer: dict[str, Any]) -> bool:
        time = min(answer["time"], answer["appended"])
        return self._epoch_of(answer) == epoch.epoch and time < self._closes[epoch.epoch]

    def _astray(self, request: str, answer: dict[str, Any]) -> bool:
        if "route_version" not in answer:
            return False
        if VERSIONS.index(answer["version"]) != ARMS.index(answer["arm"]):
            return True
        return request in _IDS and ARMS.index(answer["arm"]) != arm_of(request)

    def _split(self, epoch: Opened, request: str) -> Any:
        for version, answer in self._answers.get(request, {}).items():
            if answer["role"] != "live" or "route_version" not in answer:
                continue
            if self._epoch_of(answer) != epoch.epoch:
                continue
            time = min(answer["time"], answer["appended"])
            if answer["conflict"]:
                if self._mine(epoch, answer):
                    yield (version, "c"), time, (0, SPLIT.index("conflicts"))
            elif not self._mine(epoch, answer):
                yield (version, "s"), time, (0, SPLIT.index("stale"))
            elif self._astray(request, answer):
                yield (version, "m"), time, (0, SPLIT.index("misassigned"))
            else:
                if request not in _IDS:
                    yield (version, "u"), time, (0, SPLIT.index("unchecked"))
                yield (version, "n"), time, (0, len(SPLIT) + ARMS.index(answer["arm"]))

    def _standing(self, epoch: Opened, metric: Counted, request: str) -> Any:
        """(unit, time, slots, cells) of everything that the request adds to this metric."""
        answers = self._answers.get(request, {})
        lives = [a for a in answers.values() if a["role"] == "live" and not a["conflict"]]
        for live in lives:
            if not self._mine(epoch, live) or self._astray(request, live):
                continue
            time = min(live["time"], live["appended"])
            tags = live["tags"]
            slots = [k for k, tag in enumerate(("country", "tier")) if tag in tags]
            if metric.side is Side.ARMS:
                if "route_version" in live and metric.loss != "missing":
                    yield "unit", time, slots, self._unit(metric, request, live, time)
                continue
            for k in (1, 2):
                place = self._pair(epoch, metric, request, live, answers, k, time, slots)
                if place:
                    yield k, time, slots, place

    def _unit(self, metric: Counted, request: str, live: Any, time: int) -> Any:
        arm = ARMS.index(live["arm"])
        half = int(drawn("c", pid16(request).hex()) * 2)
        group = half if arm == 0 else arm + 1
        if metric.audited:
            return [(group, 0), (group, self._audited(metric, request, live, time))]
        if metric.label_source is None:
            level = self._own_level(metric, request, live, arm > 0)
        else:
            level = self._told_level(metric, request, live, time)
        return [(group, 0)] + ([] if level is None else [(group, 1 + level)])

    def _audited(self, metric: Counted, request: str, live: Any, time: int) -> int:
        """Protected answers first, then the others: nobody looks, right, wrong, nobody answers."""
        stratum = 0 if "tier" in live["tags"] else 1
        first = 1 + 4 * stratum
        if drawn("a", pid16(request).hex()) >= (1.0, 0.5)[stratum]:
            return first
        level = self._told_level(metric, request, live, time)
        return first + 3 if level is None else first + 1 + level

    def _own_level(self, metric: Counted, request: str, answer: Any, challenger: bool) -> int:
        if metric.loss == "errors":
            return int("error" in answer)
        latency = answer.get("latency_ms", float("inf"))
        if metric.thresholds:
            return int(latency > metric.thresholds[challenger])
        return self._rounded(metric, request, latency)

    def _rounded(self, metric: Counted, request: str, value: float) -> int:
        levels = list(metric.levels)
        value = min(value, levels[-1])
        upper = next(k for k, level in enumerate(levels) if level >= value and k)
        share = (value - levels[upper - 1]) / (levels[upper] - levels[upper - 1])
        lucky = drawn(f"r\0{metric.name}", pid16(request).hex()) < share
        return upper if lucky else upper - 1

    def _truth(self, metric: Counted, request: str, time: int) -> Any:
        kind = "tip" if metric.source == "feedback" else metric.label_source
        due = due_of(time, metric.horizon_ms)[1]
        known = [
            label for label in self._labels.get(request, [])
            if label["kind"] == kind and min(label["time"], label["appended"]) <= due
        ]  # fmt: skip

        def rank(label: Any) -> Any:
            own = blake2b(label["identity"][1].encode(), digest_size=8).digest()
            return "supersedes" in label, min(label["time"], label["appended"]), own

        best = max(known, key=rank, default=None)
        return None if best is None else best.get("value", best.get("label"))

    def _told_level(self, metric: Counted, request: str, live: Any, time: int) -> int | None:
        truth = self._truth(metric, request, time)
        if truth is None:
            return None
        if metric.source == "feedback":
            return self._rounded(metric, request, truth)
        said = live["output"]["label"] if "output" in live else None
        if metric.loss == "misses":
            return int(truth == "spam" and said != "spam")
        if metric.loss == "cost":
            return 2 if truth == "spam" and said != "spam" else int(said == "spam" != truth)
        return int(said != truth)

    def _pair(self, epoch: Opened, metric: Counted, request: str, live: Any, answers: Any, k: int,
              time: int, slots: list[int]) -> Any:  # fmt: skip
        champion, challenger = answers.get("41"), answers.get(VERSIONS[k])
        strata = len(metric.q)
        whole = champion and challenger and live in (champion, challenger)
        other = challenger if live is champion else champion
        whole = whole and other["role"] == "shadow"
        whole = whole and when(other) <= due_of(time, metric.horizon_ms)[1]
        expected = epoch.expects_pairs and metric.source in ("pair", "prediction")
        if not whole or (expected and live is challenger):
            return [(k - 1, 0)] if expected and live is champion else []
        said = [a["output"]["label"] if "output" in a else None for a in (champion, challenger)]
        differ = said[0] != said[1]
        stratum = 0 if strata == 1 else differ + 2 * (1 in slots)
        group = (k - 1) * strata + stratum
        if metric.source == "pair":
            wrong = [False, differ]
        elif metric.source == "prediction":
            timed = all("latency_ms" in a or "error" in a for a in (champion, challenger))
            if metric.loss == "latency" and not (timed or expected):
                return []
            wrong = [bool(self._own_level(metric, request, a, side))
                     for side, a in enumerate((champion, challenger))]  # fmt: skip
        elif metric.source == "audit" and drawn("a", pid16(request).hex()) >= metric.q[stratum]:
            return [(group, 0), (group, 5)]  # behind the four outcomes: nobody looks
        else:
            told = [self._told_level(metric, request, a, time) for a in (champion, challenger)]
            if None in told:
                return [(group, 0)]
            wrong = [bool(level) for level in told]
        outcome = {(0, 0): Pair.EQUAL, (0, 1): Pair.CHALLENGER_WRONG, (1, 0): Pair.CHAMPION_WRONG,
                   (1, 1): Pair.BOTH_WRONG}[wrong[0], wrong[1]]  # fmt: skip
        return [(group, 0), (group, 1 + outcome)]

    def _assign(self, event: dict[str, Any], partition: int, met: int) -> None:
        key = (event["instance"], event["minute"], event["arm"])
        had = self._assigned.get(key, (0, 0))
        now = (max(had[0], event["assigned"]), max(had[1], event["answered"]))
        self._assigned[key] = now
        epoch, arm, time = self._epochs[2], ARMS.index(event["arm"]), event["minute"]
        if time >= CANARY_ENDS:
            return
        no = next(k for k, m in enumerate(epoch.metrics) if m.loss == "missing")
        group = 0 if arm == 0 else arm + 1
        for what, horizon, row in (
            (epoch.assigned, 600_000, arm), (epoch.what(no, -1), 600_000, group)
        ):  # fmt: skip
            width, due = due_of(time, horizon)
            if met <= due:
                cells = self.cells.setdefault((what, time // width * width, partition), Counter())
                for column in (0, 1):
                    cells[row, column] += now[column] - had[column]


def when(event: dict[str, Any]) -> int:
    return int(min(event["time"], event["appended"]))


def pid16(request: str) -> bytes:
    if request in _IDS:
        return uuid.UUID(request).bytes
    return blake2b(request.encode(), digest_size=16).digest()


def due_of(time: int, horizon: int) -> tuple[int, int]:
    """(width, due) of the pane of a time: a minute wide below a horizon of 1,000 minutes."""
    assert horizon < 1000 * MINUTE
    return MINUTE, time // MINUTE * MINUTE + MINUTE + horizon
