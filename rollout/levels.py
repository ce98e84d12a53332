"""Each arm's own figure of a metric, beside the effect between them.

It is shown, and decides nothing. Pure.
"""

import numpy as np
import numpy.typing as npt

from evidence.names import Form, Pair
from rollout.cells import EVERYWHERE, Opened
from rollout.counted import Counted, Side, outcomes
from rollout.decisions import Judged
from rollout.judge import Record
from rollout.looks import Look
from rollout.tested import arms_of, counted
from streams.errors import InputError

Floats = npt.NDArray[np.float64]
Levels = tuple[float | None, float | None]


def form_of(record: Record, name: str) -> Form | None:
    """The form of evidence that a metric has in the newest epoch that counts it."""
    found = [metric for epoch in record.look.epochs for metric in epoch.metrics]
    return next((metric.form for metric in reversed(found) if metric.name == name), None)


def levels(record: Record, judged: Judged) -> Levels:
    """(champion's, challenger's) mean of a metric over all its epochs that compare alike.

    A rate is a share of the units or pairs; of a quantile it is the share beyond the champion's
    threshold, of an audited metric it is weighted by how likely it was to be audited.
    """
    look = record.look
    newest = look.epochs[-1]
    part = next((p.slot for p in newest.slices if p.name == judged.slice), EVERYWHERE)
    sums, side = np.zeros((2, 2)), None
    for epoch in reversed(look.epochs):
        for no, metric in enumerate(epoch.metrics):
            if metric.name != judged.metric or side not in (None, metric.side):
                continue
            arms = [one.arm for one in epoch.challengers]
            if epoch.estimand != newest.estimand or judged.arm not in arms:
                continue
            side = metric.side
            sums += _sums(look, epoch, no, arms.index(judged.arm), part)
    (champion, challenger), counts = sums.tolist()
    return (
        champion / counts[0] if counts[0] else None,
        challenger / counts[1] if counts[1] else None,
    )


def _sums(look: Look, epoch: Opened, no: int, k: int, slot: int) -> Floats:
    """Sums of the outcomes of (champion, challenger `k`), and how many they are of."""
    metric = epoch.metrics[no]
    try:
        found = outcomes(metric, counted(epoch, metric, look.vector(epoch.what(no, slot))))
    except InputError:  # the verdict says so
        return np.zeros((2, 2))
    return _of_arms(metric, found, k) if metric.side is Side.ARMS else _of_pairs(metric, found, k)


def _of_arms(metric: Counted, found: npt.NDArray[np.int64], k: int) -> Floats:
    arms = arms_of(found, k).astype(float)
    high = metric.high or metric.levels
    middle = (np.array(metric.levels) + np.array(high)) / 2
    return np.stack([arms @ middle, arms.sum(axis=1)])


def _of_pairs(metric: Counted, found: npt.NDArray[np.int64], k: int) -> Floats:
    strata = len(metric.q)
    pairs = found[k * strata : (k + 1) * strata].astype(float)
    wrong = (1 / np.array(metric.q)) @ pairs
    both, n = wrong[Pair.BOTH_WRONG], pairs.sum()  # of pairs that nobody sampled, too
    champion, challenger = wrong[Pair.CHAMPION_WRONG], wrong[Pair.CHALLENGER_WRONG]
    if metric.form is Form.CEILING:  # of how often the two differ: there is none of the champion
        return np.array([[0.0, both + challenger], [0.0, n]])
    return np.array([[both + champion, both + challenger], [n, n]])
