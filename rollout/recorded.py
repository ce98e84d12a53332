"""What recorded traffic shows of the champion, for an epoch to freeze: from what the Pipe counts.

Only the speed of the evidence hangs on these figures, never its validity. They are of the past
when they are read, and stay what they are.
"""

import math

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from rollout.epochs import Figure
from rollout.metrics import QUANTILES, loss_of, stat_of
from rollout.rates import Rate, Rates
from rollout.spec import Metric, Spec
from streams import codes, counters
from streams.facts import LIVE, SHADOW
from streams.models import DAY_MS, HOUR_MS
from streams.pipe import CELL, CELLS

Ints = npt.NDArray[np.int64]

SEEN_MS = 7 * DAY_MS
LEAST_MS = HOUR_MS  # a shorter stretch says nothing of a day
ENOUGH = 100  # answers, or labels, before a share of them is a figure
_BUCKET = math.log(2) / 2  # the width of a bucket of latencies, of its logarithm
_OF_ANSWERS = {"errors": "errors"}
_OF_LABELS = {"wrong": "wrong", "misses": "misses", "false_alarms": "false_alarms"}


def figures(connection: Connection, spec: Spec, *, now_ms: int) -> dict[str, Figure]:
    """By metric, as far as the champion's live answers of the last week show it."""
    found = _panes(connection, spec, spec.champion.version, LIVE, now_ms=now_ms)
    if not found:
        return {}
    cells: Ints = np.sum(list(found.values()), axis=0)
    return {metric.name: _figure(metric, cells) for metric in spec.metrics}


def answers_a_day(connection: Connection, spec: Spec, *, now_ms: int) -> float | None:
    """How many live answers the champion gave a day, of the last week; None: it gave none."""
    found = _panes(connection, spec, spec.champion.version, LIVE, now_ms=now_ms)
    answered = sum(int(cells[CELL["answered"]]) for cells in found.values())
    if not answered:
        return None
    first_ms = min(pane_ms for _, pane_ms in found)
    return answered * DAY_MS / max(now_ms - first_ms, LEAST_MS)


def disagreement(connection: Connection, spec: Spec, *, now_ms: int) -> float | None:
    """Share of the first challenger's shadow answers that were not the champion's."""
    version = spec.challengers[0].version
    found = _panes(connection, spec, version, SHADOW, now_ms=now_ms)
    return _share(np.sum(list(found.values()), axis=0), "disagreed", ("paired",)) if found else None


def rates(connection: Connection, spec: Spec, *, now_ms: int) -> Rates:
    """What a plan may know of the champion's traffic of the last week."""
    found = _panes(connection, spec, spec.champion.version, LIVE, now_ms=now_ms)
    spread = _spread(np.sum(list(found.values()), axis=0)) if found else None
    labelled = _labelled(connection, spec)
    known = {}
    for name, figure in figures(connection, spec, now_ms=now_ms).items():
        metric = spec.by_name[name]
        is_label, is_latency = metric.source == "label", loss_of(metric) == "latency"
        known[name] = Rate(
            mean=figure.quantile if is_latency else figure.mean,
            spread=spread if is_latency else None,
            labelled=labelled if is_label else None,
        )
    return Rates(disagree=disagreement(connection, spec, now_ms=now_ms), metrics=known)


def _panes(
    connection: Connection, spec: Spec, version: str, role: int, *, now_ms: int
) -> dict[tuple[str, int], Ints]:
    model_no = _number(connection, "model", 0, spec.model)
    version_no = _number(connection, "version", model_no, version)
    prefix = f"pipe/{model_no}/{version_no}/{role}/"
    return counters.panes(connection, prefix, since_ms=now_ms - SEEN_MS)


def _figure(metric: Metric, cells: Ints) -> Figure:
    loss, stat = loss_of(metric) or "", stat_of(metric)
    if loss == "latency" and stat is not None and stat in QUANTILES:
        return Figure(quantile=_quantile(cells[len(CELLS) :], QUANTILES[stat]))
    if loss in _OF_ANSWERS:
        return Figure(mean=_share(cells, _OF_ANSWERS[loss], ("answered",)))
    if loss in _OF_LABELS and metric.source == "label":
        return Figure(mean=_share(cells, _OF_LABELS[loss], ("right", "wrong")))
    return Figure()


def _share(cells: Ints, name: str, among: tuple[str, ...]) -> float | None:
    total = sum(int(cells[CELL[each]]) for each in among)
    return int(cells[CELL[name]]) / total if total >= ENOUGH else None


def _quantile(histogram: Ints, q: float) -> float | None:
    """The upper edge, ms, of the bucket that holds the quantile."""
    total = int(histogram.sum())
    if total < ENOUGH:
        return None
    bucket = int(np.searchsorted(histogram.cumsum(), q * total))
    return float(2 ** ((bucket + 1) / 2) / 1000)


def _spread(cells: Ints) -> float | None:
    """Standard deviation of ln(latency), by the middles of its buckets (Sheppard's correction)."""
    histogram = cells[len(CELLS) :]
    if histogram.sum() < ENOUGH:
        return None
    at = np.arange(len(histogram)) * _BUCKET
    mean = np.average(at, weights=histogram)
    variance = float(np.average((at - mean) ** 2, weights=histogram)) - _BUCKET**2 / 12
    return math.sqrt(variance) if variance > 0 else None


def _labelled(connection: Connection, spec: Spec) -> float | None:
    """Share of the champion's answers whose outcome came within its horizon, of those past it."""
    model_no = _number(connection, "model", 0, spec.model)
    version_no = _number(connection, "version", model_no, spec.champion.version)
    prefix = f"matured/{model_no}/{version_no}/{LIVE}/"
    totals = counters.totals(connection, prefix)
    kept = [cells for what, cells in totals.items() if "/outcome/" in what]
    answered, labelled, _ = np.sum(kept, axis=0).tolist() if kept else (0, 0, 0)
    return labelled / answered if answered >= ENOUGH else None


def _number(connection: Connection, kind: str, scope: int, name: str) -> int:
    known = {name: no for no, name in codes.names(connection, kind, scope).items()}
    return known.get(name, -1)
