"""Whether an exported rollout is what was decided and seen. Pure: a file in, its faults out.

Four questions, in this order: is every line as it was written; is the chain of decisions whole; do
the looks give the verdicts that they are said to have given; and follows each decision from where
the rollout stood and from what was known then?
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from rollout import courses, decisions, seals, signals, stages
from rollout.courses import Course, Kind
from rollout.decisions import Decision, Evidence, Person, Time
from rollout.exports import Head, Seen, head_of, lines_of, specs_of
from rollout.judge import Record, recompute
from rollout.knowledge import facts
from rollout.looks import digest
from rollout.scenes import Scene
from rollout.seals import Part, broken
from rollout.spec import Full, Rollout
from rollout.stages import Signal
from rollout.states import State, folded
from streams.errors import Error, InputError
from streams.models import duration_ms

ROUNDING = 1e-9
"""How far floats of a verdict may lie apart, relative: machines differ in the last bits."""

_UNREADABLE = (Error, ValueError, LookupError, ArithmeticError)
"""What counts and parameters come to that no judge ever wrote."""


class Verified(Struct, frozen=True, kw_only=True):
    """What holds of a file: how much of it there is, and where the chain ends."""

    rollout: str
    stage: Kind
    revisions: int
    decisions: int
    looks: int
    verdicts: int
    head: str


def verified(text: bytes) -> Verified:
    """What the file proves. Raises InputError that names the first place where it does not."""
    parts = seals.opened(text)
    head = head_of(parts)
    specs = specs_of(parts)
    chain = _chain(parts, head)
    looks = _looks(parts)
    state = _walked(chain, specs, looks, head)
    return Verified(
        rollout=head.rollout, stage=state.place.kind, revisions=len(specs), decisions=len(chain),
        looks=len(looks), verdicts=sum(len(record.judged) for _, record in looks.values()),
        head=state.head,
    )  # fmt: skip


def _chain(parts: list[Part], head: Head) -> list[Decision]:
    lines, bodies = [], []
    for line, part in lines_of(parts, "decision"):
        lines.append(line)
        bodies.append(part.body)
    try:
        chain = decisions.verified(bodies)
    except InputError as error:
        at = lines[(error.line or 1) - 1]
        raise broken(f"decision {error.line}", error.rule, error.message, at) from error
    for line, made in zip(lines, chain, strict=True):
        if made.rollout != head.rollout:
            raise broken(f"decision {made.seq}", "rollout", f"it is of {made.rollout!r}", line)
    return chain


def _looks(parts: list[Part]) -> Mapping[int, tuple[Seen, Record]]:
    """Looks by decision, each recomputed from its cells and parameters."""
    found: dict[int, tuple[Seen, Record]] = {}
    for line, part in lines_of(parts, "look"):
        try:
            seen = msgspec.json.decode(part.body, type=Seen)
            record = msgspec.json.decode(bytes(seen.record), type=Record)
            again = recompute(record)
        except _UNREADABLE as error:
            raise broken(part.name, "record", str(error), line) from error
        if digest(record.look) != seen.digest:
            raise broken(part.name, "digest", "it is not that of the cells and parameters", line)
        for place, told, ours in differences(
            msgspec.to_builtins(record), msgspec.to_builtins(again), "record"
        ):
            raise broken(part.name, place, f"{told} is written, {ours} comes of the cells", line)
        before = [told for earlier, told in [*found.values()][-1:] if earlier.digest != seen.digest]
        if lost := _forgotten(before, record):
            said = "an earlier look had stronger evidence of harm, which is never forgotten"
            raise broken(part.name, f"record.look.peaks {lost}", said, line)
        found[seen.seq] = seen, record
    return found


def _forgotten(before: list[Record], record: Record) -> str:
    """The account whose strongest evidence of harm is less than it was; empty for none."""
    peaks = record.look.peaks
    accounts = (
        account
        for earlier in before
        for account, peak in earlier.peaks.items()
        if peaks.get(account, -math.inf) < peak - ROUNDING * max(1.0, abs(peak))
    )
    return next(accounts, "")


def differences(told: Any, ours: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """Where two JSON values differ, by more than rounding where they are numbers."""
    match told, ours:
        case dict(), dict():
            for name in sorted({*told, *ours}):
                yield from differences(told.get(name), ours.get(name), f"{place}.{name}")
        case list() | tuple(), list() | tuple() if len(told) == len(ours):
            for k, (one, other) in enumerate(zip(told, ours, strict=True)):
                yield from differences(one, other, f"{place}[{k}]")
        case float(), int() | float():
            if not math.isclose(told, ours, rel_tol=ROUNDING, abs_tol=ROUNDING):
                yield place, told, ours
        case _:
            if told != ours:
                yield place, told, ours


def _walked(
    chain: list[Decision],
    specs: Mapping[str, Rollout],
    looks: Mapping[int, tuple[Seen, Record]],
    head: Head,
) -> State:
    """The state after the last decision, each of which follows from what was before it."""
    first = next(iter(specs), "")
    state = State(rollout=head.rollout, revision=first)
    for made in chain:
        for digest_ in (state.revision, made.revision):
            if digest_ not in specs:
                raise broken(f"decision {made.seq}", "revision", "no such spec is in the file")
        course = courses.course(specs[state.revision].spec)
        _follows(made, state, specs, course)
        _cites(made, looks.get(made.seq))
        _is_due(made, state, specs[state.revision], course, looks.get(made.seq))
        state = folded(state, [made])
    return state


def _follows(made: Decision, state: State, specs: Mapping[str, Rollout], course: Course) -> None:
    """It leads where the table of moves says."""
    try:
        after = stages.advance(course, state.place, made.signal)
        if made.signal is Signal.REVISE:
            after = courses.moved(course, courses.course(specs[made.revision].spec), after)
    except Error as error:
        raise broken(f"decision {made.seq}", "signal", error.message) from error
    if made.after != after:
        there, here = (f"{each.kind} (step {each.step})" for each in (after, made.after))
        said = f"{made.signal} leads to {there}, not {here}"
        raise broken(f"decision {made.seq}", "to", said)
    if made.signal is not Signal.REVISE and made.revision != state.revision:
        raise broken(f"decision {made.seq}", "revision", "another one held")


def _cites(made: Decision, found: tuple[Seen, Record] | None) -> None:
    """What it cites is the look that is here, and its verdicts are those of that look."""
    cause, name = made.cause, f"decision {made.seq}"
    cited = {cause.snapshot} if isinstance(cause, Person) else set()
    if isinstance(cause, Evidence):
        cited = {judged.snapshot for judged in cause.verdicts}
    cited -= {""}
    if cited and found is None:
        raise broken(name, "cause", "the look that it cites is not in the file")
    if found is None:
        return
    seen, record = found
    if cited and cited != {seen.digest}:
        raise broken(f"look {made.seq}", "digest", f"decision {made.seq} cites another")
    if isinstance(cause, Evidence) and cause.verdicts:
        told, ours = msgspec.to_builtins(cause.verdicts), msgspec.to_builtins(record.judged)
        for place, one, other in differences(told, ours, "cause.verdicts"):
            raise broken(name, place, f"{one} is written, {other} comes of the look")


def _is_due(
    made: Decision,
    state: State,
    declared: Rollout,
    course: Course,
    found: tuple[Seen, Record] | None,
) -> None:
    """Evidence decided what the rules say of it, and a time was over."""
    cause, name = made.cause, f"decision {made.seq}"
    if isinstance(cause, Time):
        due_ms = _due_ms(made, state, course)
        if due_ms not in (None, cause.due_ms) or made.at_ms < cause.due_ms:
            raise broken(name, "cause.due_ms", "the time was not over then")
    if not isinstance(cause, Evidence) or found is None:
        return
    seen, record = found
    known = facts(record, state, declared.spec, fresh_ms=seen.fresh_ms)
    call = signals.due(
        Scene(state=state, spec=declared.spec, course=course, facts=known, now_ms=made.at_ms)
    )
    due = (call.signal, call.arm) if call else (None, None)
    if due != (made.signal, made.arm):
        raise broken(
            name, "signal", f"{due[0] or 'nothing'} was due by the look, not {made.signal}"
        )


def _due_ms(made: Decision, state: State, course: Course) -> int | None:
    """When the time that decided was over; None where it does not follow from spec and state."""
    step = course[state.place.step]
    match made.signal:
        case Signal.DEADLINE:
            return state.due_from_ms + step.deadline_ms
        case Signal.FINISH:
            assert isinstance(step.stage, Full)
            return state.since_ms + duration_ms(step.stage.probation)
        case _:
            return None
