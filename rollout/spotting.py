"""Slices that decide nothing: where a challenger does worse than chance explains. Pure.

Of all unprotected slices of all metrics and challengers those are told whose evidence of harm is
left by e-BH at the rollout's alpha: of the told, at most that share is expected to be chance,
whatever the slices share and however often anybody looks. Nobody is rolled back by it.
"""

import numpy as np
from msgspec import Struct

from evidence.multiplicity import e_bh
from evidence.sequences import Epoch, estimate, log_e_late, units
from rollout.cells import Opened, Part
from rollout.looks import Look
from rollout.tested import evidence, guardrail
from streams.errors import InputError


class Spotted(Struct, frozen=True, kw_only=True):
    """A slice in which a metric of a challenger is beyond its limit.

    `estimate` and `limit` are effects as in `rollout.decisions.Judged`; `log_harm` is the evidence,
    in nats.
    """

    arm: str
    metric: str
    slice: str
    n: int
    estimate: float | None
    limit: float
    log_harm: float


def spotted(look: Look) -> tuple[Spotted, ...]:
    """What stands out, the strongest evidence first; nothing of a look without an epoch."""
    if not look.epochs:
        return ()
    newest = look.epochs[-1]
    epochs = [epoch for epoch in look.epochs if epoch.estimand == newest.estimand]
    tried = [
        found
        for name in dict.fromkeys(metric.name for epoch in epochs for metric in epoch.metrics)
        for k in range(len(newest.challengers))
        for part in newest.slices
        if not part.protected and (found := _tried(look, epochs, name, k, part)) is not None
    ]
    if not tried:
        return ()
    chosen = e_bh(np.array([each.log_harm for each in tried]), fdr=newest.alpha)
    kept = [each for each, is_told in zip(tried, chosen.tolist(), strict=True) if is_told]
    return tuple(sorted(kept, key=lambda each: -each.log_harm))


def _tried(look: Look, epochs: list[Opened], name: str, k: int, part: Part) -> Spotted | None:
    """The evidence in one slice; None where none of the epochs has any."""
    kept: list[Epoch] = []
    test = None
    for epoch in epochs:
        for no, metric in enumerate(epoch.metrics):
            if metric.name != name:
                continue
            try:
                told = evidence(epoch, metric, k, look.vector(epoch.what(no, part.slot)))
            except InputError:  # the verdict on all traffic says what is wrong with it
                return None
            if told is not None:
                kept.append(told)
                pi = epoch.challengers[k].pi
                test = guardrail(metric, pi=pi, planned_units=epoch.planned_units)
    if test is None or not units(kept):
        return None
    question = test.question
    return Spotted(
        arm=epochs[-1].challengers[k].arm, metric=name, slice=part.name, n=units(kept),
        estimate=estimate(kept), limit=question.limit,
        log_harm=float(log_e_late(kept, question.limit, question.harm)),
    )  # fmt: skip
