"""Predictions to ledger rows: identity, numbers of names, what was decided, latency.

Everything is a function of the event, the declaration that holds at its time, and codes; it
runs before the transaction and column by column.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from streams.answer_rows import PID16, Answers
from streams.arrivals import Arrivals
from streams.codes import Codes, Wanted
from streams.db.bulk import MODEL_OF_KEY, request_key, request_keys
from streams.decided import decided
from streams.events import Fault, Prediction
from streams.facts import ERROR, ROLES, SKEWED, UNKNOWN_ROUTE
from streams.hashing import KeyedHash, assignment_point, day_of, identify, pid16
from streams.plans import Plans

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

MAX_LATENCY_US = 2**31 - 1
NO_ARM = 0  # arms and routes are numbered from 1
_UNKNOWN_EPOCH = -1
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
        self._hashes = KeyedHash(secret)
        self._known: dict[str | None, int] = {None: Answers.ABSENT}
        self._points: dict[tuple[str, str], float] = {}

    def of(self, events: Sequence[Prediction]) -> Ints:
        """The hash of each event's unit, ABSENT where it has none."""
        units = [e.unit_id for e in events]
        distinct = dict.fromkeys(units)
        if len(self._known) + len(distinct) > _UNITS_KEPT:
            self._known = {None: Answers.ABSENT}
        fresh = [unit for unit in distinct if unit is not None and unit not in self._known]
        self._known.update(zip(fresh, self._hashes.of(fresh), strict=True))
        return np.array([self._known[unit] for unit in units], np.int64)

    def __call__(self, unit: str) -> int:
        """The hash of one unit."""
        known = self._known.get(unit)
        return self._hashes.of([unit])[0] if known is None else known

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
    for model, version, _, route, arm, _ in arrivals.series()[0]:
        wanted |= {("version", model_nos[model], version), ("route", 0, route)}
        wanted |= {("label", model_nos[model], c) for c in plans.model(model).newest.classes}
        if arm is not None:
            wanted.add(("arm", 0, arm))
    named: set[tuple[str, str]] = set()  # (model, class)
    for e in arrivals.predictions:
        output = e.output
        if output is None:
            continue
        if output.label is not None:
            named.add((e.model, output.label))
        elif output.scores is not None:
            named.update((e.model, name) for name in output.scores)
    return wanted | {("label", model_nos[model], name) for model, name in named}


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
    numbers, is_unknown = _numbers(arrivals, codes, plans)
    models, versions, roles, routes, arms, epochs = numbers
    days, pids = identify([e.prediction_id for e in events])
    keys = request_keys(days, pids, models)
    times = arrivals.event_ms[at]
    found = decided(events, times, models, plans, codes)
    is_error = np.array([e.output is None for e in events], bool)
    flags = is_error * ERROR + arrivals.skewed[at] * SKEWED + is_unknown * UNKNOWN_ROUTE
    nothing = np.zeros(len(events), np.int64)
    values = [None if e.output is None else e.output.value for e in events]
    columns = [
        days, pids.view(PID16).reshape(-1), models, versions,
        arrivals.partition[at], arrivals.offset[at], arrivals.index[at], times,
        roles, routes, arms, epochs, units.of(events), found.slices, found.codes,
        np.array(values, np.float64), found.scores, found.levels,
        _microseconds([e.latency_ms for e in events]), flags, nothing, nothing, nothing,
    ]  # fmt: skip
    groups = [
        key
        if e.join_key is None or e.join_key == e.prediction_id
        else target(e.join_key, int.from_bytes(key[MODEL_OF_KEY], "big"))
        for key, e in zip(keys, events, strict=True)
    ]
    blobs = {
        k: packed(e.output)
        for k, e in enumerate(events)
        if e.output is not None and (e.output.boxes is not None or e.output.text is not None)
    }
    points = units.points(events, epochs.tolist(), plans.salts)
    return Keyed(Answers(columns, len(events)), at, keys, groups, blobs, points)


def _numbers(arrivals: Arrivals, codes: Codes, plans: Plans) -> tuple[Ints, Bools]:
    """(model, version, role, route, arm and epoch of each prediction, whose route is unknown).

    The first has shape (6, n). The epoch is 0 without a route version, and where no plan knows it.
    """
    model_nos, routes, arms = codes.of("model"), codes.of("route"), codes.of("arm")
    distinct, of = arrivals.series()
    numbers = [
        (
            no := model_nos[model],
            codes.of("version", no)[version],
            ROLES[role],
            routes[route],
            NO_ARM if arm is None else arms[arm],
            0 if table is None else plans.epochs.get((model, route, table), _UNKNOWN_EPOCH),
        )
        for model, version, role, route, arm, table in distinct
    ]
    columns = np.array(numbers, np.int64).reshape(-1, 6)
    is_unknown = columns[:, 5] == _UNKNOWN_EPOCH
    columns[is_unknown, 5] = 0
    return columns.T[:, of], is_unknown[of]


def _microseconds(latencies_ms: list[float | None]) -> Ints:
    """Whole ones of each, ABSENT where it was not measured."""
    exact = np.array(latencies_ms, np.float64) * 1000
    is_absent = np.isnan(exact)
    exact[is_absent] = Answers.ABSENT
    return np.minimum(exact, MAX_LATENCY_US).astype(np.int64)


def target(text: str, model_no: int) -> bytes:
    """The request key of a prediction id or join key."""
    return request_key(day_of(text), pid16(text), model_no)


def packed(answer: Any) -> bytes:
    """Boxes or text of an output or a label, as stored until maturity."""
    if answer.text is not None:
        return msgspec.msgpack.encode({"text": answer.text})
    return msgspec.msgpack.encode({"boxes": answer.boxes, "image": getattr(answer, "image", None)})
