"""What a look says of a rollout where it stands: a record of the judge becomes facts. Pure."""

from collections.abc import Iterator

from rollout.audits import told
from rollout.cells import ANSWERED, EVERYWHERE, REVIEWED, Opened
from rollout.counted import HALVES, Side
from rollout.doubts import units_of
from rollout.judge import Record
from rollout.looks import Look
from rollout.scenes import Facts, Reached
from rollout.spec import Spec
from rollout.states import State
from rollout.tested import counted


def facts(record: Record, state: State, spec: Spec, *, fresh_ms: int | None) -> Facts:
    """What may be decided on while the rollout stands where `state` says.

    Args:
        fresh_ms: when a challenger answered last, domain time.
    """
    budget = spec.harm_budget
    spent = [
        one
        for one in record.extra
        if budget and one.metric == budget.metric and one.arm not in state.dropped
    ]
    return Facts(
        seq=state.seq,
        verdicts=record.judged,
        reached=reached(record.look, since_ms=state.since_ms),
        fresh_ms=fresh_ms,
        broken=record.broken,
        extra_least=max((one.least for one in spent), default=None),
        extra_estimate=max((one.estimate for one in spent), default=None),
    )


def reached(look: Look, *, since_ms: int) -> dict[str, Reached]:
    """How much the epochs that began since then saw of each challenger, in frozen panes.

    Where a person is asked, a unit is an answer that a person has looked at.
    """
    found: dict[str, Reached] = {}
    for epoch in look.epochs:
        if epoch.opens_ms < since_ms:
            continue
        seen = reviewed(look, epoch) if epoch.confirm_ms else units_of(look, epoch)[1:].tolist()
        for k, (challenger, units) in enumerate(zip(epoch.challengers, seen, strict=True)):
            before = found.get(challenger.arm, Reached())
            found[challenger.arm] = Reached(
                pairs=before.pairs + _most(_pairs(look, epoch, k, is_audit=False)),
                audited=before.audited + _most(_audited(look, epoch, k)),
                units=before.units + units,
            )
    return found


def reviewed(look: Look, epoch: Opened) -> list[int]:
    """How many answers of each challenger a person confirmed or refused."""
    closed = look.vector(epoch.reviewed)
    if not len(closed):
        return [0] * len(epoch.challengers)
    answered: list[int] = closed.reshape(-1, len(REVIEWED))[:, :ANSWERED].sum(axis=1).tolist()
    return answered


def _pairs(look: Look, epoch: Opened, k: int, *, is_audit: bool) -> Iterator[int]:
    """Pairs that each metric counted: of audits those that were answered."""
    for no, metric in enumerate(epoch.metrics):
        if metric.side is not Side.PAIRS or (metric.source == "audit") != is_audit:
            continue
        if metric.own is not None:
            seen = look.vector(epoch.pairs_of(no))
            yield int(seen[2 * k + is_audit]) if len(seen) else 0
            continue
        cells = counted(epoch, metric, look.vector(epoch.what(no, EVERYWHERE)))
        strata = len(metric.q)
        mine = cells[k * strata : (k + 1) * strata]
        yield int(mine[:, told(metric) if is_audit else 0].sum())


def _audited(look: Look, epoch: Opened, k: int) -> Iterator[int]:
    """Audits that were answered: of pairs, or of the challenger's own answers."""
    yield from _pairs(look, epoch, k, is_audit=True)
    for no, metric in enumerate(epoch.metrics):
        if metric.audited:
            cells = counted(epoch, metric, look.vector(epoch.what(no, EVERYWHERE)))
            yield int(cells[HALVES + k, told(metric)].sum())


def _most(counts: Iterator[int]) -> int:
    return max(counts, default=0)
