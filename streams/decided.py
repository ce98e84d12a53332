"""What answers decided: class, stored score, level of uncertainty and slices, column by column.

A function of the events and of the declaration that holds at their times.
"""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from streams.codes import Codes
from streams.events import Output, Prediction
from streams.facts import BLOB, NONE, OTHER, VALUE
from streams.models import Declaration
from streams.plans import Plans
from streams.slices import masks

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

LEVELS = 16
DEFAULT_THRESHOLD = 0.5
_UNKNOWN = -1.0  # in place of a top score


class Decided(msgspec.Struct):
    """Of each event, NaN or -1 where it has none."""

    codes: Ints
    scores: Floats
    levels: Ints
    slices: Ints


def decided(
    events: Sequence[Prediction], times: Ints, models: Ints, plans: Plans, codes: Codes
) -> Decided:
    """Group by group of one declaration; a batch is nearly always a single group."""
    if len(events) and (models == models[0]).all():
        revisions = plans.model(events[0].model)
        declaration = revisions.between(int(times.min()), int(times.max()))
        if declaration is not None:
            return read(events, declaration, codes.of("label", int(models[0])))
    whole = Decided(
        np.full(len(events), NONE), np.full(len(events), np.nan),
        np.full(len(events), -1), np.zeros(len(events), np.int64),
    )  # fmt: skip
    for declaration, model_no, members in _groups(events, times, models, plans):
        part = read([events[k] for k in members], declaration, codes.of("label", model_no))
        whole.codes[members], whole.scores[members] = part.codes, part.scores
        whole.levels[members], whole.slices[members] = part.levels, part.slices
    return whole


def _groups(
    events: Sequence[Prediction], times: Ints, models: Ints, plans: Plans
) -> list[tuple[Declaration, int, list[int]]]:
    """(declaration, model number, its events)."""
    groups: dict[tuple[int, int], tuple[Declaration, int, list[int]]] = {}
    for k, (event, time_ms, model_no) in enumerate(
        zip(events, times.tolist(), models.tolist(), strict=True)
    ):
        declaration = plans.model(event.model).at(time_ms)
        key = (model_no, id(declaration))
        groups.setdefault(key, (declaration, model_no, []))[2].append(k)
    return list(groups.values())


def read(events: Sequence[Prediction], declaration: Declaration, labels: dict[str, int]) -> Decided:
    """What events of one declaration decided.

    Args:
        labels: the codes of the model's classes.
    """
    outputs = [e.output for e in events]
    found = _of_scores(outputs, declaration, labels) if declaration.binary else None
    codes, scores, tops = _of_each(outputs, declaration, labels) if found is None else found
    levels = np.minimum((1.0 - tops) * LEVELS, LEVELS - 1).astype(np.int64)
    levels[tops < 0] = -1
    return Decided(codes, scores, levels, masks(declaration.slices, events))


Columns = tuple[Ints, Floats, Floats]  # code, stored score, top score


def _of_scores(
    outputs: Sequence[Output | None], declaration: Declaration, labels: dict[str, int]
) -> Columns | None:
    """Of outputs that are scores of the positive class and nothing else; None if one is not."""
    plain = [
        None
        if o is None or o.label is not None or o.threshold is not None or o.scenario is not None
        else o.score
        for o in outputs
    ]
    if None in plain:
        return None
    scores = np.array(plain, np.float64)
    threshold = declaration.thresholds.get("default", DEFAULT_THRESHOLD)
    positive = labels.get(declaration.positive_class, OTHER)
    negative = labels.get(_negative(declaration), OTHER)
    codes = np.where(scores >= threshold, positive, negative)
    return codes, scores, np.where(scores >= 0.5, scores, 1.0 - scores)


def _of_each(
    outputs: Sequence[Output | None], declaration: Declaration, labels: dict[str, int]
) -> Columns:
    read_one = _reader(declaration)
    codes: list[int] = []
    scores: list[float | None] = []
    tops: list[float] = []
    for output in outputs:
        if output is None:
            codes.append(NONE)
            scores.append(None)
            tops.append(_UNKNOWN)
            continue
        label, score, top = read_one(output)
        if label is not None:
            codes.append(labels.get(label, OTHER))
        elif output.value is not None:
            codes.append(VALUE)
        else:
            codes.append(BLOB if output.boxes is not None or output.text is not None else NONE)
        scores.append(score)
        tops.append(top)
    return np.array(codes, np.int64), np.array(scores, np.float64), np.array(tops, np.float64)


Read = Callable[[Output], tuple[str | None, float | None, float]]


def _reader(declaration: Declaration) -> Read:
    """How this model's outputs are read: (decided class, stored score, top score or -1)."""
    if not declaration.binary:
        return _read_any
    positive, negative = declaration.positive_class, _negative(declaration)
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
            return label, None, _UNKNOWN
        if label is None:
            threshold = output.threshold
            if threshold is None:
                threshold = thresholds.get(output.scenario or "", default)
            label = positive if score >= threshold else negative
        return label, score, score if score >= 0.5 else 1.0 - score

    return read_binary


def _negative(declaration: Declaration) -> str:
    return next(name for name in declaration.classes if name != declaration.positive_class)


def _read_any(output: Output) -> tuple[str | None, float | None, float]:
    label, score, scores = output.label, output.score, output.scores
    if scores is None:
        return label, score, _UNKNOWN if score is None else score
    if label is None:
        label = _largest(scores)
    top = max(scores.values())
    return label, scores.get(label, score), top


def _largest(scores: dict[str, float]) -> str:
    return max(scores, key=lambda name: (scores[name], name))
