"""Rollouts as the command line shows them. Pure."""

from msgspec import Struct

from rollout.courses import LIVE, Kind, Step, weight
from rollout.decisions import Decision, Judged, Person
from rollout.store import Standing


class StepView(Struct, frozen=True, kw_only=True):
    """One step of the course: done, here, ahead, or left when the rollout went back."""

    step: str
    weight: float
    state: str


class View(Struct, frozen=True, kw_only=True):
    """Where a rollout stands. Times are domain time, ms."""

    rollout: str
    model: str
    route: str
    champion: str
    challengers: list[str]
    dropped: list[str]
    stage: Kind
    step: str
    weight: float
    since_ms: int | None
    deadline_ms: int | None
    signed: list[str]
    revision: int
    waiting_revision: int | None
    route_version: int | None
    seq: int
    head: str
    last: str
    steps: list[StepView]


class Line(Struct, frozen=True, kw_only=True):
    """One decision, for a list of them; `verdicts` is what the evidence said at that look."""

    seq: int
    at_ms: int
    signal: str
    before: str
    after: str
    who: str
    because: str
    route_version: int | None
    revision: str
    hash: str
    verdicts: list[Judged]


def view(standing: Standing) -> View:
    """What there is to say about where it stands."""
    state, spec, course = standing.state, standing.declared.spec, standing.course
    place = state.place
    step = course[place.step] if place.step >= 0 else None
    is_on = place.kind in LIVE | {Kind.PAUSED}
    return View(
        rollout=standing.name, model=standing.model, route=standing.route,
        champion=spec.champion.version, challengers=list(standing.left),
        dropped=list(state.dropped),
        stage=place.kind, step=step.name if step else "", weight=weight(course, place),
        since_ms=state.since_ms or None, deadline_ms=_deadline(standing, step) if is_on else None,
        signed=[person.name for person in state.signed], revision=standing.revision.no,
        waiting_revision=standing.waiting.no if standing.waiting else None,
        route_version=state.published.route_version if state.published else None,
        seq=state.seq, head=state.head,
        last=_told(standing.decisions[-1]) if standing.decisions else "created",
        steps=[
            StepView(step=each.name, weight=each.weight, state=_state(standing, k))
            for k, each in enumerate(course)
        ],
    )  # fmt: skip


def lines(standing: Standing) -> list[Line]:
    """Every decision, oldest first."""
    return [line(each) for each in standing.decisions]


def line(made: Decision) -> Line:
    """One decision."""
    return Line(
        seq=made.seq, at_ms=made.at_ms, signal=made.signal, before=made.before.kind,
        after=made.after.kind, who=_who(made), because=_because(made),
        route_version=made.published.route_version if made.published else None,
        revision=made.revision, hash=made.hash, verdicts=list(getattr(made.cause, "verdicts", ())),
    )  # fmt: skip


def ahead(standing: Standing) -> str:
    """Where an advance would lead, in words."""
    state, course = standing.state, standing.course
    following = state.place.step + 1
    if following >= len(course):
        return "its end"
    return f"{course[following].name} ({course[following].weight:g} %)"


def _deadline(standing: Standing, step: Step | None) -> int | None:
    return standing.state.due_from_ms + step.deadline_ms if step else None


def _state(standing: Standing, number: int) -> str:
    place = standing.state.place
    if number == place.step and place.kind is not Kind.DONE:
        return "here" if place.kind in LIVE | {Kind.PAUSED} else "left"
    return "done" if number <= place.step else "ahead"


def _told(decision: Decision) -> str:
    return f"{decision.signal} by {_who(decision)}: {_because(decision)}"


def _who(decision: Decision) -> str:
    cause = decision.cause
    return cause.name if isinstance(cause, Person) else type(cause).__name__.lower()


def _because(decision: Decision) -> str:
    cause = decision.cause
    return cause.reason if isinstance(cause, Person) else "; ".join(cause.reasons)
