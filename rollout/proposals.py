"""Proposed answers that a person is asked about. Pure: the same log asks for the same reviews."""

from typing import NamedTuple

import numpy as np

from rollout.epoch_index import Epoch
from rollout.standing import Standing
from streams.facts import Facts
from streams.hashing import id8


class Asked(NamedTuple):
    """A person is asked about the answer of a version, until `deadline_ms`, domain time.

    Args:
        id: of the review (`review_id`).
        probability: with which the answer was chosen to be looked at: all of them are.
        answer: the event as it was sent.
    """

    id: str
    model: str
    rollout: str
    epoch: int
    prediction_id: str
    version: str
    probability: float
    opened_ms: int
    deadline_ms: int
    answer: bytes


def review_id(model: str, prediction_id: str) -> str:
    """The name of a request's review; a service need not be told it."""
    return id8(f"{model}\0{prediction_id}").hex()


def asked(facts: Facts, epoch: Epoch, standing: Standing) -> list[Asked]:
    """What the new rows of this epoch ask for, in log order.

    The time runs from when the log took the answer: no service's clock matters.
    """
    opened = epoch.opened
    rows = np.array([each.row for each in facts.proposed], np.int64)
    kept, version = standing.asking(rows), standing.version[rows]
    return [
        Asked(
            id=review_id(opened.model, each.prediction_id), model=opened.model,
            rollout=opened.rollout, epoch=opened.epoch, prediction_id=each.prediction_id,
            version=opened.challengers[at - 1].version,
            probability=1.0, opened_ms=each.appended_ms,
            deadline_ms=each.appended_ms + opened.confirm_ms, answer=each.line,
        )
        for each, at in zip(facts.proposed, np.where(kept, version, 0).tolist(), strict=True)
        if at
    ]  # fmt: skip
