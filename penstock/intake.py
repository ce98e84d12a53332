"""Intake with the collectors of every room: the one place that names them."""

from penstock.installation import Installation
from rollout.collector import Rollouts
from streams.db.clock import Clock
from streams.pipe import Pipe
from streams.pipeline import Pipeline


def pipeline(here: Installation, *, owner: str, clock: Clock | None = None) -> Pipeline:
    """The one pass over the events of `here`, by its clock unless another is given."""
    return Pipeline(
        here.log,
        here.engine,
        collectors=[Pipe(), Rollouts()],
        owner=owner,
        clock=here.clock if clock is None else clock,
        lateness_ms=here.settings.lateness_ms,
    )
