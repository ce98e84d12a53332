"""From a metric's cells to evidence: its frozen statistic, and the counts that it reads."""

from dataclasses import replace

import numpy as np

from evidence.audited import Audit, AuditedMean
from evidence.bets import Plan
from evidence.effects import Arms
from evidence.forms import Frozen, Guardrail, statistic
from evidence.names import Form, Pair
from evidence.paired import Pairs
from evidence.risks import EventShare
from evidence.sequences import Epoch
from rollout.cells import ASSIGNED, Opened
from rollout.counted import HALVES, Counted, Ints, Side, outcomes, shaped

_BETWEEN = (Form.DIFFERENCE, Form.EVENT_SHARE, Form.RATIO, Form.QUANTILE)


def guardrail(metric: Counted, *, pi: float | None, planned_units: int) -> Guardrail | None:
    """The statistic of a metric; None where it compares arms and none were drawn (`pi`).

    Raises evidence's InputError for parameters that its form cannot test.
    """
    plan = Plan(n_star=planned_units)
    is_between = metric.side is Side.ARMS and metric.form in _BETWEEN
    if is_between and pi is None:
        return None
    found = statistic(
        metric.form,
        Frozen(
            margin=metric.limit,
            higher_is_better=metric.higher_is_better,
            arms=_arms(metric, pi, plan) if is_between else None,
            pairs=Pairs(q=at_stake(metric), sigma0=metric.discordance, plan=plan),
            pi=pi,
            incidence=metric.centre,
            periodic=metric.own is not None and metric.side is Side.ARMS,
        ),
    )
    if metric.audited and metric.form is Form.CEILING:
        return replace(found, statistic=AuditedMean(ladder=metric.q, sigma0=metric.sd, plan=plan))
    return found


def at_stake(metric: Counted) -> tuple[float, ...]:
    """Inclusion probabilities of the pairs that its statistic weighs: not of agreements in a
    difference, because two answers that agree lose the same, whatever the truth is.
    """
    is_stratified = metric.form is Form.PAIRED_DIFFERENCE and len(metric.q) > 1
    return metric.q[1::2] if is_stratified else metric.q


def _arms(metric: Counted, pi: float | None, plan: Plan) -> Arms:
    assert pi is not None
    return Arms(
        levels=metric.levels, pi=pi, centre=metric.centre, sd=metric.sd, plan=plan,
        high=metric.high or None,
    )  # fmt: skip


def evidence(
    opened: Opened, metric: Counted, k: int, vector: Ints, *, bad: Ints | None = None
) -> Epoch | None:
    """What one epoch's frozen `vector` says of challenger `k`; None: nothing that could be tested.

    Args:
        vector: leading axes are looks of their own.
        bad: units of the champion and of the challenger that it lacks, and that count as bad.

    Raises InputError for a vector of another shape than the metric's.
    """
    pi = opened.challengers[k].pi if opened.scope is not None else None
    test = guardrail(metric, pi=pi, planned_units=opened.planned_units)
    if test is None or test.statistic is None:
        return None
    found = outcomes(metric, counted(opened, metric, vector))
    return Epoch(test.statistic, _read(metric, found, k, bad))


def unanswered(opened: Opened, k: int, assigned: Ints) -> Ints | None:
    """Requests of the champion and of challenger `k` that were assigned and never answered.

    None where clients did not count them, or the spec sets no limit to them.
    """
    if missing_of(opened) is None or not len(assigned):
        return None
    both = assigned.reshape(-1, len(ASSIGNED))[[0, 1 + k]]
    found: Ints = np.maximum(both[:, 0] - both[:, 1], 0)
    return found


def missing_of(opened: Opened) -> int | None:
    """The metric that limits missing answers."""
    return next((no for no, metric in enumerate(opened.metrics) if metric.loss == "missing"), None)


def first_bad(opened: Opened, metric: Counted, k: int, vector: Ints) -> Epoch | None:
    """How many sticky units of the champion and of challenger `k` had a bad event at all."""
    pi = opened.challengers[k].pi if opened.scope is not None else None
    if metric.crash is None or metric.own is None or pi is None:
        return None
    found = vector if len(vector) else np.zeros(1 + len(opened.challengers), np.int64)
    return Epoch(EventShare(pi), found[[0, 1 + k]])


def counted(opened: Opened, metric: Counted, vector: Ints) -> Ints:
    """The vector by group and column."""
    return shaped(metric, vector, len(opened.challengers))


def arms_of(found: Ints, k: int) -> Ints:
    """(champion, challenger `k`) of groups that are arms: the champion's halves are one."""
    return np.stack([found[..., :HALVES, :].sum(axis=-2), found[..., HALVES + k, :]], axis=-2)


def _read(metric: Counted, found: Ints, k: int, bad: Ints | None = None) -> Ints:
    """The counts in the shape of the metric's statistic."""
    if metric.side is Side.ARMS:
        arms = arms_of(found, k)
        if bad is not None:
            arms[..., int(np.argmax(metric.levels))] += bad
        match metric.form:
            case Form.EVENT_SHARE:
                return arms[..., 1]
            case Form.CEILING if metric.audited:
                mine = arms[..., 1, :]
                return mine.reshape(*mine.shape[:-1], len(metric.q), 1, len(Audit))
            case Form.CEILING:
                return arms[..., 1, :2]
            case _:
                return arms
    strata = len(metric.q)
    pairs = found[..., k * strata : (k + 1) * strata, :]
    if metric.form is not Form.CEILING:
        return _weighed(metric, pairs)
    only = pairs[..., 0, :]
    bad = only[..., Pair.CHALLENGER_WRONG] + only[..., Pair.BOTH_WRONG]
    return np.stack([only.sum(axis=-1) - bad, bad], axis=-1)


def _weighed(metric: Counted, pairs: Ints) -> Ints:
    """The strata of `at_stake`; agreements that are not are equal, labelled or not."""
    if at_stake(metric) == metric.q:
        return pairs
    agreed, found = pairs[..., ::2, :], pairs[..., 1::2, :].copy()
    found[..., Pair.EQUAL] += agreed.sum(axis=-1)
    return found


def halves(opened: Opened, metric: Counted, vector: Ints) -> Epoch | None:
    """The champion against itself: two halves by a salt of their own; None where no arms are."""
    if metric.side is not Side.ARMS or metric.form not in _BETWEEN:
        return None
    test = guardrail(metric, pi=0.5, planned_units=opened.planned_units)
    assert test is not None
    assert test.statistic is not None
    found = outcomes(metric, counted(opened, metric, vector))[:HALVES]
    return Epoch(test.statistic, found[:, 1] if metric.form is Form.EVENT_SHARE else found)
