"""Rollouts under way: each is looked at, judged and moved on if something is due.

A look is stored before anything is decided by it: what was proven once stays proven, whoever looks
next. A route whose challengers nobody watches any more is not renewed, and so returns to its
champion.
"""

from msgspec.structs import replace
from sqlalchemy import Connection, Engine

from rollout import controller, kept, readers, routes, store
from rollout.cells import SETTLES_MS, SPLIT
from rollout.courses import Kind
from rollout.decisions import Decision
from rollout.enrolment import followed_up
from rollout.judge import judge
from rollout.kept import Kept
from rollout.knowledge import facts
from rollout.looks import Look, digest, look_at
from rollout.opening import freezing
from rollout.scenes import Facts
from rollout.store import Standing
from streams import counters
from streams.db.engine import reading, writing
from streams.models import pane_width_ms


def watch(
    engine: Engine, name: str, *, now_ms: int, wall_ms: int, speed: float = 1.0
) -> Decision | None:
    """One look at a rollout; the decision that was due and is made, if one was.

    Args:
        now_ms: domain time.
        wall_ms: for how long route tables are valid.
        speed: of the domain clock against the wall's.

    Raises ConflictError when somebody else looked meanwhile.
    """
    with reading(engine) as connection:
        standing = store.standing(connection, name)
    if standing.state.place.kind is Kind.ROLLING_BACK:
        known = _way_back(engine, standing, wall_ms=wall_ms)
    else:
        known = _seen(engine, standing, now_ms=now_ms)
        known = followed_up(engine, standing, known, now_ms=now_ms)
    made = controller.tick(
        engine, name, known, now_ms=now_ms, wall_ms=wall_ms, freezing=freezing(speed)
    )
    with writing(engine) as connection:
        routes.renew_watched(connection, standing.model, standing.route, now_ms=wall_ms)
    return made


def _way_back(engine: Engine, standing: Standing, *, wall_ms: int) -> Facts:
    """Whether no service decides by a table any more that names a challenger."""
    state = standing.state
    assert state.published is not None  # nothing rolls back that never had traffic
    with reading(engine) as connection:
        table = routes.at_version(
            connection, standing.model, standing.route, state.published.route_version
        )
        assert table is not None
        heard = readers.heard(
            connection, standing.model, standing.route, table.rank, now_ms=wall_ms
        )
    return Facts(seq=state.seq, restored=heard.confirmed == heard.readers)


def _seen(engine: Engine, standing: Standing, *, now_ms: int) -> Facts:
    """What a look says, once it is stored."""
    name, state = standing.name, standing.state
    with reading(engine) as connection:
        before = kept.newest(connection, name)
        peaks = before.record.peaks if before else {}
        look = look_at(connection, name, peaks=peaks, now_ms=now_ms)
        fresh_ms = _fresh_ms(connection, look, before)
    if not look.epochs:
        return Facts(seq=state.seq)
    now = before
    if now is None or now.digest != digest(look):
        now = Kept(
            seq=kept.NEWEST, at_ms=now_ms, digest=digest(look), fresh_ms=fresh_ms,
            record=judge(look),
        )  # fmt: skip
        with writing(engine) as connection:
            kept.replace(connection, name, before, now)
    elif now.fresh_ms != fresh_ms:
        with writing(engine) as connection:
            kept.refresh(connection, name, replace(now, fresh_ms=fresh_ms))
    return facts(now.record, state, standing.declared.spec, fresh_ms=fresh_ms)


def _fresh_ms(connection: Connection, look: Look, before: Kept | None) -> int | None:
    """Until when a challenger is known to have answered, by panes: they are kept for a while."""
    found = before.fresh_ms if before else None
    if not look.epochs:
        return found
    epoch = look.epochs[-1]
    panes = counters.panes(connection, epoch.split, since_ms=max(0, (found or 0)))
    width = pane_width_ms(SETTLES_MS)
    ends = [pane + width for (_, pane), cells in panes.items() if cells[len(SPLIT) + 1 :].any()]
    return max([*ends, *([found] if found is not None else [])], default=None)
