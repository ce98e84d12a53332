"""Where a rollout stands: a fold of its decisions, and of nothing else."""

from collections.abc import Iterable
from functools import reduce

from msgspec import Struct
from msgspec.structs import replace

from rollout.courses import Kind, Place
from rollout.decisions import GENESIS, Cause, Decision, Person, Published, sealed
from rollout.stages import Signal
from streams.errors import InputError


class Pause(Struct, frozen=True):
    """From when to when it was paused (domain ms; None: still), and what paused it."""

    from_ms: int
    to_ms: int | None
    signal: Signal


class State(Struct, frozen=True, kw_only=True):
    """A rollout after decision `seq`, whose hash is `head`.

    Args:
        since_ms: when it came to its step, domain time.
        due_from_ms: from when its deadline counts: when it came to its stage, or was resumed.
        signed: who has signed the approval where it stands.
        dropped: challengers that are out.
        given: for each challenger the largest share it ever had; units within it are taken.
        published: the newest route table that it gave out.
    """

    rollout: str
    revision: str
    seq: int = 0
    head: str = GENESIS
    place: Place = Place(Kind.DRAFT)
    since_ms: int = 0
    due_from_ms: int = 0
    signed: tuple[Person, ...] = ()
    dropped: tuple[str, ...] = ()
    given: tuple[float, ...] = ()
    published: Published | None = None
    pauses: tuple[Pause, ...] = ()

    def decided(
        self,
        signal: Signal,
        after: Place,
        cause: Cause,
        *,
        at_ms: int,
        arm: str | None = None,
        published: Published | None = None,
        revision: str | None = None,
    ) -> Decision:
        """The next record of the chain."""
        return sealed(
            Decision(
                rollout=self.rollout, revision=revision or self.revision, seq=self.seq + 1,
                at_ms=at_ms, before=self.place, after=after, signal=signal, cause=cause, arm=arm,
                published=published, previous=self.head,
            )
        )  # fmt: skip


def folded(state: State, decisions: Iterable[Decision]) -> State:
    """The state after `decisions`, which follow `state`.

    Raises InputError for one that does not.
    """
    return reduce(_after, decisions, state)


def _after(state: State, decision: Decision) -> State:
    if (decision.rollout, decision.seq, decision.previous) != (
        state.rollout, state.seq + 1, state.head,
    ):  # fmt: skip
        raise InputError(
            f"decision {decision.seq} does not follow decision {state.seq} of {state.rollout!r}",
            field=f"decisions[{decision.seq}]",
            rule="previous",
        )
    revises = decision.signal is Signal.REVISE
    steps_on = not revises and decision.after.step != decision.before.step
    enters = steps_on and decision.after.kind is not decision.before.kind
    resumes = decision.signal is Signal.RESUME
    published = decision.published
    return replace(
        state,
        revision=decision.revision,
        seq=decision.seq,
        head=decision.hash,
        place=decision.after,
        since_ms=decision.at_ms if steps_on else state.since_ms,
        due_from_ms=decision.at_ms if enters or resumes else state.due_from_ms,
        signed=() if steps_on or revises else _signed(state, decision),
        dropped=(*state.dropped, decision.arm) if decision.arm else state.dropped,
        given=_widest(state.given, published.shares) if published else state.given,
        published=published or state.published,
        pauses=_pauses(state.pauses, decision),
    )


def _signed(state: State, decision: Decision) -> tuple[Person, ...]:
    if decision.signal is Signal.SIGN and isinstance(decision.cause, Person):
        return (*state.signed, decision.cause)
    return state.signed


def _widest(given: tuple[float, ...], shares: tuple[float, ...]) -> tuple[float, ...]:
    """A table without challengers, of a version that was promoted, takes no unit of them."""
    if not given or not shares:
        return shares or given
    return tuple(map(max, given, shares))


def _pauses(pauses: tuple[Pause, ...], decision: Decision) -> tuple[Pause, ...]:
    was, is_now = (place.kind is Kind.PAUSED for place in (decision.before, decision.after))
    if is_now and not was:
        return (*pauses, Pause(decision.at_ms, None, decision.signal))
    if was and not is_now:
        return (*pauses[:-1], replace(pauses[-1], to_ms=decision.at_ms))
    return pauses
