"""What recorded traffic shows of the champion, for an epoch to freeze: from what the Pipe counts.

Only the speed of the evidence hangs on these figures, never its validity. They are of the past
when they are read, and stay what they are.
"""

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from rollout.epochs import Figure
from rollout.metrics import QUANTILES, loss_of, stat_of
from rollout.spec import Metric, Spec
from streams import codes, counters
from streams.facts import LIVE
from streams.models import DAY_MS
from streams.pipe import CELL, CELLS

Ints = npt.NDArray[np.int64]

SEEN_MS = 7 * DAY_MS
ENOUGH = 100  # answers, or labels, before a share of them is a figure
_OF_ANSWERS = {"errors": "errors"}
_OF_LABELS = {"wrong": "wrong", "misses": "misses", "false_alarms": "false_alarms"}


def figures(connection: Connection, spec: Spec, *, now_ms: int) -> dict[str, Figure]:
    """By metric, as far as the champion's live answers of the last week show it."""
    model_no = _number(connection, "model", 0, spec.model)
    version_no = _number(connection, "version", model_no, spec.champion.version)
    prefix = f"pipe/{model_no}/{version_no}/{LIVE}/"
    found = counters.panes(connection, prefix, since_ms=now_ms - SEEN_MS)
    if not found:
        return {}
    cells: Ints = np.sum(list(found.values()), axis=0)
    return {metric.name: _figure(metric, cells) for metric in spec.metrics}


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


def _number(connection: Connection, kind: str, scope: int, name: str) -> int:
    known = {name: no for no, name in codes.names(connection, kind, scope).items()}
    return known.get(name, -1)
