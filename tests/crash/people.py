"""A pass over proposed answers and what people say of them, in a process that may be killed."""

from contextlib import closing
from pathlib import Path

from rollout import reviews
from rollout.collector import Rollouts
from rollout.reviews import Saying, State
from streams.db.engine import connect, writing
from streams.logs.embedded import EmbeddedLog
from tests.streams import spine

SAID = (State.CONFIRMED, State.REFUSED)


def played(url: str, path: Path, ids: list[str], late_ms: int) -> None:
    """All is counted; the first of these is confirmed, the second refused, the rest times out."""
    engine = connect(url, durable=True)
    with closing(EmbeddedLog(path, clock=spine.Hands())) as log:
        worker = spine.pipeline(log, engine, collectors=[Rollouts()], clock=spine.Hands())
        with closing(worker):
            worker.drain()
    for id, state in zip(ids, SAID, strict=False):
        with writing(engine) as connection:
            saying = Saying(state=state, by="ann", reason="r")
            reviews.answer(connection, id, saying, now_ms=spine.T0 + 1, wall_ms=1)
    with writing(engine) as connection:
        reviews.time_out(connection, now_ms=late_ms, wall_ms=1)
    engine.dispose()
