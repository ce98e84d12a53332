"""One tick of a rollout: what is known becomes the decision that is due, if one is.

It holds nothing between ticks. Two that tick at once decide once, and a person who decides in
between has decided: the tick looks again, or leaves it to the next one where what is known was
known of the place before.
"""

from sqlalchemy import Engine

from rollout import store
from rollout.acting import Ask, decide
from rollout.consequences import Freezing
from rollout.decisions import Decision
from rollout.scenes import Facts, Scene
from rollout.signals import due
from rollout.store import Standing
from streams.db.engine import reading
from streams.errors import ConflictError

TRIES = 5
"""How often a tick looks again before it leaves the rest to the next one."""


def scene(standing: Standing, facts: Facts, *, now_ms: int) -> Scene:
    """Where the rollout stands, and what is known of it. `now_ms` is domain time."""
    return Scene(
        state=standing.state,
        spec=standing.declared.spec,
        course=standing.course,
        facts=facts,
        now_ms=now_ms,
    )


def tick(
    engine: Engine,
    name: str,
    facts: Facts,
    *,
    now_ms: int,
    wall_ms: int,
    freezing: Freezing | None = None,
) -> Decision | None:
    """The decision that was due and is made; None where nothing was.

    Raises InputError for a rollout that is not there.
    """
    for _ in range(TRIES):
        with reading(engine) as connection:
            standing = store.standing(connection, name)
        if facts.seq not in (None, standing.state.seq):
            return None
        call = due(scene(standing, facts, now_ms=now_ms))
        if call is None:
            return None
        ask = Ask(
            rollout=name, signal=call.signal, cause=call.cause, arm=call.arm,
            seen_seq=standing.state.seq,
        )  # fmt: skip
        try:
            return decide(engine, ask, now_ms=now_ms, wall_ms=wall_ms, freezing=freezing)
        except ConflictError:
            continue
    return None
