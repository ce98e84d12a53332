"""Predictions to ledger rows: identity, codes, the decision, its score and level, slices.

Everything is a function of the event, the declaration that holds at its time, and codes; it
runs before the transaction and column by column.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from streams.arrivals import Arrivals
from streams.codes import Codes, Wanted
from streams.db.bulk import request_key, request_keys
from streams.events import Fault, Output, Prediction
from streams.facts import (
    BLOB,
    ERROR,
    NONE,
    OTHER,
    ROLES,
    SKEWED,
    UNKNOWN_ROUTE,
    VALUE,
    Answers,
)
from streams.hashing import assignment_point, day_of, identify, keyed, pid16
from streams.models import Declaration
from streams.plans import Plans
from streams.slices import masks

LEVELS = 16
MAX_LATENCY_US = 2**31 - 1
NO_ARM = 0  # arms and routes are numbered from 1
DEFAULT_THRESHOLD = 0.5
_UNITS_KEPT = 500_000  # hashed units remembered by a process


class Keyed(msgspec.Struct):
    """The new answers of a batch: their rows, and how they are known in memory."""

    answers: Answers
    at: list[int]  # index among the arrivals
    keys: list[bytes]  # request key
    groups: list[bytes]  # request key of the join key; the own key where there is none
    blobs: dict[int, bytes]  # row -> packed boxes or text
    points: npt.NDArray[np.float64]  # where the unit of each stands on the lanes of its epoch


class Units:
    """Keyed hashes of unit ids, remembered: the same units come again and again."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._known: dict[str, int] = {}
        self._points: dict[tuple[str, str], float] = {}

    def of(self, events: Sequence[Prediction]) -> list[int | None]:
        """The hash of each event's unit, where it has one."""
        known = self._known
        return [
            None if (unit := e.unit_id) is None else known[unit] if unit in known else self(unit)
            for e in events
        ]

    def __call__(self, unit: str) -> int:
        known = self._known.get(unit)
        if known is None:
            if len(self._known) >= _UNITS_KEPT:
                self._known.clear()
            known = self._known[unit] = keyed(self._secret, unit)
        return known

    def points(
        self, events: Sequence[Prediction], epochs: Sequence[int | None], salts: Mapping[int, str]
    ) -> npt.NDArray[np.float64]:
        """The point of each event's unit, drawn by the salt of its epoch; NaN where none is."""
        if not salts:
            return np.full(len(events), np.nan)
        of = [salts.get(epoch or 0) for epoch in epochs]
        drawn = (
            math.nan if salt is None or e.unit_id is None else self._point(salt, e.unit_id)
            for e, salt in zip(events, of, strict=True)
        )
        return np.fromiter(drawn, np.float64, len(events))

    def _point(self, salt: str, unit: str) -> float:
        known = self._points.get((salt, unit))
        if known is None:
            if len(self._points) >= _UNITS_KEPT:
                self._points.clear()
            known = self._points[salt, unit] = assignment_point(salt, unit)
        return known


def wanted_codes(arrivals: Arrivals, model_nos: dict[str, int], plans: Plans) -> Wanted:
    """The codes these predictions need once their models have numbers."""
    wanted: Wanted = set()
    for model, version, _, route, arm in arrivals.series()[0]:
        wanted |= {("version", model_nos[model], version), ("route", 0, route)}
        wanted |= {("label", model_nos[model], c) for c in plans.model(model).newest.classes}
        if arm is not None:
            wanted.add(("arm", 0, arm))
    events = arrivals.predictions
    labels = {(e.model, e.output.label) for e in events if e.output is not None}
    wanted |= {("label", model_nos[model], label) for model, label in labels if label is not None}
    for e in events:
        if e.output is not None and e.output.scores is not None and e.output.label is None:
            wanted |= {("label", model_nos[e.model], name) for name in e.output.scores}
    return wanted


def unplaceable(arrivals: Arrivals, model_nos: dict[str, int], codes: Codes) -> dict[int, Fault]:
    """Predictions of a version past the model's cap."""
    distinct, of = arrivals.series()
    past = [
        k
        for k, (model, version, *_) in enumerate(distinct)
        if version not in codes.of("version", model_nos[model])
    ]
    fault = Fault("too_many_versions", "version", "this model has 10,000 versions already")
    return {arrivals.answers[k]: fault for k in np.isin(of, past).nonzero()[0].tolist()}


def rows_of(
    arrivals: Arrivals,
    *,
    plans: Plans,
    codes: Codes,
    units: Units,
) -> Keyed:
    """The ledger rows of the predictions among `arrivals`, before any of them is looked up."""
    at, events = arrivals.answers, arrivals.predictions
    numbers = _numbers(arrivals, codes)
    models = numbers[:, 0].tolist()
    ids = [e.prediction_id for e in events]
    days, pids = identify(ids)
    keys = request_keys(days, pids, models)
    times = arrivals.event_ms[at]
    decided = _decisions(events, times.tolist(), models, plans, codes)
    errors = np.fromiter((e.output is None for e in events), bool, len(events))
    known = plans.epochs
    epochs = [_epoch(e, known) for e in events]
    unknown = np.fromiter((epoch is None for epoch in epochs), bool, len(events))
    flags = errors * ERROR + arrivals.skewed[at] * SKEWED + unknown * UNKNOWN_ROUTE
    columns: list[list[Any]] = [
        days.tolist(),
        [key[2:18] for key in keys],
        models,
        numbers[:, 1].tolist(),
        arrivals.partition[at].tolist(),
        arrivals.offset[at].tolist(),
        arrivals.index[at].tolist(),
        times.tolist(),
        numbers[:, 2].tolist(),
        numbers[:, 3].tolist(),
        numbers[:, 4].tolist(),
        [epoch or 0 for epoch in epochs],
        units.of(events),
        decided.slices,
        decided.codes,
        [None if e.output is None else e.output.value for e in events],
        decided.scores,
        decided.levels,
        [
            None if e.latency_ms is None else min(int(e.latency_ms * 1000), MAX_LATENCY_US)
            for e in events
        ],
        flags.tolist(),
        [0] * len(events),
        [0] * len(events),
        [0] * len(events),
    ]
    groups = [
        key if e.join_key is None or e.join_key == e.prediction_id else target(e.join_key, m)
        for key, e, m in zip(keys, events, models, strict=True)
    ]
    blobs = {
        k: packed(e.output)
        for k, e in enumerate(events)
        if e.output is not None and (e.output.boxes is not None or e.output.text is not None)
    }
    points = units.points(events, epochs, plans.salts)
    return Keyed(Answers(columns, len(events)), at, keys, groups, blobs, points)


def _numbers(arrivals: Arrivals, codes: Codes) -> npt.NDArray[np.int64]:
    """Model, version, role, route and arm of each prediction, shape (n, 5)."""
    model_nos, routes, arms = codes.of("model"), codes.of("route"), codes.of("arm")
    distinct, of = arrivals.series()
    numbers = [
        (
            no := model_nos[model],
            codes.of("version", no)[version],
            ROLES[role],
            routes[route],
            NO_ARM if arm is None else arms[arm],
        )
        for model, version, role, route, arm in distinct
    ]
    return np.array(numbers, np.int64).reshape(-1, 5)[of]


def target(text: str, model_no: int) -> bytes:
    """The request key of a prediction id or join key."""
    return request_key(day_of(text), pid16(text), model_no)


def _epoch(event: Prediction, known: dict[tuple[str, str, int], int]) -> int | None:
    """0 without a route version, None when no plan knows it."""
    if event.route_version is None:
        return 0
    return known.get((event.model, event.route, event.route_version))


class _Decided(msgspec.Struct):
    codes: list[int]
    scores: list[float | None]
    levels: list[int]
    slices: list[int]


def _decisions(
    events: list[Prediction], times: list[int], models: list[int], plans: Plans, codes: Codes
) -> _Decided:
    """Group by group of one declaration; a batch is nearly always a single group."""
    low, high = min(times, default=0), max(times, default=0)
    names = {e.model for e in events}
    if len(names) == 1:
        declaration = plans.model(events[0].model).between(low, high)
        if declaration is not None:
            return _decided(events, declaration, codes.of("label", models[0]))
    whole = _Decided(
        [NONE] * len(events), [None] * len(events), [-1] * len(events), [0] * len(events)
    )
    groups: dict[tuple[int, int], list[int]] = {}
    declarations: dict[tuple[int, int], Declaration] = {}
    for k, (event, time_ms, model_no) in enumerate(zip(events, times, models, strict=True)):
        declaration = plans.model(event.model).at(time_ms)
        key = (model_no, id(declaration))
        declarations[key] = declaration
        groups.setdefault(key, []).append(k)
    for key, members in groups.items():
        part = _decided([events[k] for k in members], declarations[key], codes.of("label", key[0]))
        for j, k in enumerate(members):
            whole.codes[k], whole.scores[k] = part.codes[j], part.scores[j]
            whole.levels[k], whole.slices[k] = part.levels[j], part.slices[j]
    return whole


def _decided(
    events: list[Prediction], declaration: Declaration, labels: dict[str, int]
) -> _Decided:
    read = _reader(declaration)
    codes: list[int] = []
    scores: list[float | None] = []
    tops: list[float] = []
    for event in events:
        output = event.output
        if output is None:
            codes.append(NONE)
            scores.append(None)
            tops.append(-1.0)
            continue
        label, score, top = read(output)
        if label is not None:
            codes.append(labels.get(label, OTHER))
        elif output.value is not None:
            codes.append(VALUE)
        else:
            codes.append(BLOB if output.boxes is not None or output.text is not None else NONE)
        scores.append(score)
        tops.append(top)
    top_scores = np.array(tops, np.float64)
    levels = np.minimum((1.0 - top_scores) * LEVELS, LEVELS - 1).astype(np.int64)
    levels[top_scores < 0] = -1
    return _Decided(codes, scores, levels.tolist(), masks(declaration.slices, events))


Read = Callable[[Output], tuple[str | None, float | None, float]]


def _reader(declaration: Declaration) -> Read:
    """How this model's outputs are read: (decided class, stored score, top score or -1)."""
    if not declaration.binary:
        return _read_any
    positive = declaration.positive_class
    negative = next(name for name in declaration.classes if name != positive)
    thresholds = declaration.thresholds
    default = thresholds.get("default", DEFAULT_THRESHOLD)

    def read_binary(output: Output) -> tuple[str | None, float | None, float]:
        score = output.score
        if score is None and output.scores is not None:
            score = output.scores.get(positive)
        label = output.label
        if score is None:  # the positive class has none
            if label is None and output.scores is not None:
                label = _largest(output.scores)
            return label, None, -1.0
        if label is None:
            threshold = output.threshold
            if threshold is None:
                threshold = thresholds.get(output.scenario or "", default)
            label = positive if score >= threshold else negative
        return label, score, score if score >= 0.5 else 1.0 - score

    return read_binary


def _read_any(output: Output) -> tuple[str | None, float | None, float]:
    label, score, scores = output.label, output.score, output.scores
    if scores is None:
        return label, score, -1.0 if score is None else score
    if label is None:
        label = _largest(scores)
    top = max(scores.values())
    return label, scores.get(label, score), top


def _largest(scores: dict[str, float]) -> str:
    return max(scores, key=lambda name: (scores[name], name))


def packed(answer: Any) -> bytes:
    """Boxes or text of an output or a label, as stored until maturity."""
    if answer.text is not None:
        return msgspec.msgpack.encode({"text": answer.text})
    return msgspec.msgpack.encode({"boxes": answer.boxes, "image": getattr(answer, "image", None)})
