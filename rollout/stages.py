"""The one table that says how a rollout moves.

`advance` is a look into `TABLE`: what is not in it does not happen. What makes a signal is
`rollout.signals`; what a move means for traffic is `rollout.acting`.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from rollout.courses import FINAL, Course, Kind, Place
from streams.errors import IllegalTransitionError


class Signal(StrEnum):
    """What moves a rollout."""

    PLAN = "plan"
    START = "start"
    CANCEL = "cancel"
    ROLLBACK = "rollback"  # a person's
    HARM = "harm"
    BLIND = "blind"  # traffic, and no fresh evidence for `blindAfter`
    INVALID = "invalid"  # the evidence contradicts its own assumptions
    DEADLINE = "deadline"
    PAUSE = "pause"
    RESUME = "resume"
    SIGN = "sign"  # one person's approval
    DROP = "drop"  # one challenger of several goes, the others go on
    REVISE = "revise"  # another revision of the spec holds from here on
    ADVANCE = "advance"
    FINISH = "finish"  # probation is over
    RESTORED = "restored"  # every service has the champion again, or its table ran out


class _To(StrEnum):
    """Targets that depend on where the rollout stands."""

    NEXT = "the next step of the course, or done after the last"
    STAY = "where it is"
    BACK_IN = "the step it was paused at"
    AS_DECLARED = "what the step declares for its deadline"


Target = Kind | _To

_AWAY: dict[Signal, Target] = {
    Signal.ROLLBACK: Kind.ROLLING_BACK,
    Signal.HARM: Kind.ROLLING_BACK,
    Signal.BLIND: Kind.ROLLING_BACK,
    Signal.DEADLINE: _To.AS_DECLARED,
    Signal.DROP: _To.STAY,
    Signal.REVISE: _To.STAY,
}
_STAGE: dict[Signal, Target] = {
    **_AWAY,
    Signal.INVALID: Kind.PAUSED,
    Signal.PAUSE: Kind.PAUSED,
    Signal.ADVANCE: _To.NEXT,
}
_BY_KIND: dict[Kind, dict[Signal, Target]] = {
    Kind.DRAFT: {
        Signal.PLAN: Kind.PLANNED,
        Signal.REVISE: _To.STAY,
        Signal.CANCEL: Kind.CANCELLED,
    },
    Kind.PLANNED: {
        Signal.START: _To.NEXT,
        Signal.REVISE: _To.STAY,
        Signal.CANCEL: Kind.CANCELLED,
    },
    Kind.SHADOW: {**_STAGE, Signal.CANCEL: Kind.CANCELLED},
    Kind.SUPERVISED: _STAGE,
    Kind.CANARY: _STAGE,
    Kind.APPROVAL: {**_STAGE, Signal.SIGN: _To.STAY},
    Kind.AB: _STAGE,
    Kind.PROBATION: {
        Signal.ROLLBACK: Kind.ROLLING_BACK,
        Signal.HARM: Kind.ROLLING_BACK,
        Signal.BLIND: Kind.ROLLING_BACK,
        Signal.DEADLINE: _To.AS_DECLARED,
        Signal.INVALID: Kind.PAUSED,
        Signal.PAUSE: Kind.PAUSED,  # it does not finish meanwhile
        Signal.REVISE: _To.STAY,
        Signal.FINISH: Kind.DONE,
    },
    Kind.PAUSED: {**_AWAY, Signal.RESUME: _To.BACK_IN},
    Kind.ROLLING_BACK: {Signal.RESTORED: Kind.ROLLED_BACK},
    Kind.DONE: {},
    Kind.ROLLED_BACK: {},
    Kind.CANCELLED: {},
}

TABLE: Mapping[tuple[Kind, Signal], Target] = MappingProxyType(
    {(kind, signal): to for kind, targets in _BY_KIND.items() for signal, to in targets.items()}
)
"""(where, signal) -> where to. The whole of it; a pair that is missing is refused."""


def accepts(place: Place, signal: Signal) -> bool:
    """Whether `signal` means anything to a rollout that stands at `place`."""
    return (place.kind, signal) in TABLE


def accepted(place: Place) -> list[Signal]:
    """Every signal that means something there."""
    return [signal for signal in Signal if accepts(place, signal)]


def advance(steps: Course, place: Place, signal: Signal) -> Place:
    """Where `signal` takes a rollout that stands at `place`.

    Raises IllegalTransitionError for a signal that means nothing there.
    """
    target = TABLE.get((place.kind, signal))
    if target is None:
        raise IllegalTransitionError(
            place.kind,
            signal,
            why="it has ended" if place.kind in FINAL else "",
            fix=(
                "another rollout, from the version that serves the route now"
                if place.kind in FINAL
                else f"accepted are {', '.join(accepted(place))}"
            ),
        )
    match target:
        case _To.NEXT:
            following = place.step + 1
            done = following >= len(steps)
            return Place(Kind.DONE, place.step) if done else Place(steps[following].kind, following)
        case _To.STAY:
            return place
        case _To.BACK_IN:
            return Place(steps[place.step].kind, place.step)
        case _To.AS_DECLARED:
            pauses = steps[place.step].on_deadline == "pause"
            return Place(Kind.PAUSED if pauses else Kind.ROLLING_BACK, place.step)
        case kind:
            return Place(kind, place.step)
