"""What another rollout would have seen of recorded traffic. Pure.

A recorded request is given anew, by the table of the rollout that is tried: if the version that it
draws answered then, live or in shadow, that answer is the live one now, and the others are its
shadows. If it did not, nobody knows what it would have said, and the request is left out. Which
requests are left out depends on two draws by independent salts and on nothing else, so those that
stay are a fair sample of each arm (the replay of Li, Chu, Langford and Wang, WSDM 2011).

What this cannot know is what an answer does to the world: the truth about a request is taken to
be the same whoever answers, and a reaction counts only where its answer is the one that is given.
"""

import heapq
from collections.abc import Iterator
from itertools import count

from msgspec import Struct
from msgspec.structs import replace

from rollout.assignment import RouteTable, arm_of, hashed
from streams.events import (
    AnyEvent,
    Feedback,
    Label,
    OutcomeMissing,
    Prediction,
    time_ms,
)


class Given(Struct, frozen=True, kw_only=True):
    """A recorded request as the rollout on trial gave it.

    Args:
        live: the version that answers now; None: what it would have said is not known.
        answers: what each version said.
        at_ms: when the request began.
    """

    prediction_id: str
    live: str | None
    answers: dict[str, Prediction]
    at_ms: int


class Recorded:
    """Recorded events, put in the order of their own time; answers to one request come together.

    Args:
        delay_ms: how long after a request's first answer its others may come.
    """

    def __init__(self, *, delay_ms: int) -> None:
        self._delay_ms = delay_ms
        self._requests: dict[str, dict[str, Prediction]] = {}
        self._due: list[tuple[int, int, str | AnyEvent]] = []
        self._order = count()
        self._taken_ms = 0
        self.oldest_ms = self.newest_ms = 0
        self.late = 0  # of a time that was taken already

    def put(self, event: AnyEvent) -> None:
        """In any order, as long as it is not of a time that was taken."""
        at_ms = time_ms(event.time)
        if at_ms < self._taken_ms:
            self.late += 1
            return
        self.oldest_ms = min(self.oldest_ms or at_ms, at_ms)
        self.newest_ms = max(self.newest_ms, at_ms)
        if not isinstance(event, Prediction):
            heapq.heappush(self._due, (at_ms, next(self._order), event))
            return
        answers = self._requests.setdefault(event.prediction_id, {})
        if all(at_ms < time_ms(answer.time) for answer in answers.values()):
            heapq.heappush(self._due, (at_ms, next(self._order), event.prediction_id))
        answers.setdefault(event.version, event)

    def take(self, *, before_ms: int) -> Iterator[dict[str, Prediction] | AnyEvent]:
        """All that began before then: requests by the answers of each version, and what else."""
        self._taken_ms = before_ms
        while self._due and self._due[0][0] < before_ms:
            _, _, what = heapq.heappop(self._due)
            if not isinstance(what, str):
                yield what
            elif what in self._requests:  # else it began earlier than was known at first
                yield self._requests.pop(what)

    @property
    def settled_ms(self) -> int:
        """Requests from before then are complete."""
        return self.newest_ms - self._delay_ms


def given(answers: dict[str, Prediction], table: RouteTable | None, *, champion: str) -> Given:
    """Who answers a recorded request under `table`; without one, the champion.

    Where a person is to confirm, the answer is a proposed one.
    """
    was = next((a for a in answers.values() if a.role == "live"), next(iter(answers.values())))
    told: dict[str, str | int | None] = {"arm": None, "route_version": None}
    version, role = champion, "live"
    if table is not None:
        unit = hashed(table, unit_id=was.unit_id, prediction_id=was.prediction_id)
        arm = table.champion if unit is None else arm_of(table, unit, was.tags or {})
        version, told = arm.version, {"arm": arm.arm, "route_version": table.version}
        role = "proposed" if arm.confirm else "live"
    if version not in answers:
        return Given(
            prediction_id=was.prediction_id, live=None, answers=answers, at_ms=time_ms(was.time)
        )
    now = {
        name: replace(
            answer,
            role=role if name == version else "shadow",
            **told,
        )
        for name, answer in answers.items()
    }
    return Given(
        prediction_id=was.prediction_id, live=version, answers=now, at_ms=time_ms(was.time)
    )


def is_about(event: AnyEvent, of: Given, *, was: str | None) -> bool:
    """Whether what was said of the recorded request may be said of it as it is given now.

    Args:
        was: the version that answered it live then.
    """
    match event:
        case Label() | OutcomeMissing():
            return of.live is not None
        case Feedback():
            return of.live is not None and of.live == was
        case _:
            return False
