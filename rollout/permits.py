"""What must hold before a signal is acted on, whoever gives it. A way back is never asked here."""

from sqlalchemy import Connection

from rollout import routes
from rollout.courses import Kind, Place
from rollout.decisions import Cause, Person
from rollout.spec import Approval
from rollout.stages import Signal
from rollout.store import Standing
from streams.errors import IllegalTransitionError, InputError, NotAllowedError


def check(
    connection: Connection,
    standing: Standing,
    signal: Signal,
    cause: Cause,
    *,
    arm: str | None,
    after: Place,
) -> None:
    """Raises an error that says what is missing.

    IllegalTransitionError: not yet. NotAllowedError: not by this person. InputError: no such
    challenger, or a champion that does not serve the route.
    """
    match signal:
        case Signal.START:
            _serves(connection, standing)
        case Signal.SIGN:
            _may_sign(standing, cause)
        case Signal.DROP:
            _may_go(standing, arm)
        case Signal.ADVANCE:
            _is_signed(standing)
            _is_one(standing, after)


def _serves(connection: Connection, standing: Standing) -> None:
    """A route goes on with the version that serves it: nobody is taken from it in passing."""
    wanted = standing.declared.spec.champion.version
    for table in routes.newest(connection):
        serves = table.champion.version
        if (table.model, table.route) == (standing.model, standing.route) and serves != wanted:
            raise InputError(
                f"route {table.route!r} of {table.model!r} is served by {serves!r}, and the spec's"
                f" champion is {wanted!r}",
                field="spec.champion.version",
                rule="the champion serves",
                fix=f"another rollout with champion: {{version: {serves}}}",
            )


def _may_sign(standing: Standing, cause: Cause) -> None:
    stage = standing.course[standing.state.place.step].stage
    if not isinstance(cause, Person) or not isinstance(stage, Approval):
        raise NotAllowedError("an approval is signed by a person")
    names = ", ".join(stage.people)
    if not cause.names & set(stage.people):
        raise NotAllowedError(
            f"{cause.name!r} cannot sign this approval", why=f"it is for {names}", fix="ask them"
        )
    if stage.not_author and cause.name in standing.authors:
        raise NotAllowedError(
            f"{cause.name!r} wrote this rollout, and its approval says notAuthor: true",
            fix=f"somebody else of {names} signs",
        )
    if any(person.name == cause.name for person in standing.state.signed):
        raise NotAllowedError(
            f"{cause.name!r} has signed already",
            why=f"{stage.count} different people are asked for",
            fix=f"somebody else of {names} signs",
        )


def _may_go(standing: Standing, arm: str | None) -> None:
    if arm not in standing.left:
        raise InputError(
            f"{arm!r} is no challenger that is left",
            field="arm",
            fix=f"one of {', '.join(standing.left)}",
        )
    if len(standing.left) == 1:
        raise IllegalTransitionError(
            standing.state.place.kind,
            Signal.DROP,
            why=f"{arm} is the only challenger that is left",
            fix=f"penstock rollout rollback {standing.name}",
        )


def _is_signed(standing: Standing) -> None:
    place = standing.state.place
    stage = standing.course[place.step].stage
    signed = len(standing.state.signed)
    if isinstance(stage, Approval) and signed < stage.count:
        raise IllegalTransitionError(
            place.kind,
            Signal.ADVANCE,
            why=f"{signed} of {stage.count} signatures, from {', '.join(stage.people)}",
            fix=f"penstock rollout approve {standing.name}",
        )


def _is_one(standing: Standing, after: Place) -> None:
    if after.kind is Kind.PROBATION and len(standing.left) > 1:
        raise IllegalTransitionError(
            standing.state.place.kind,
            Signal.ADVANCE,
            why=f"full weight is for one, and {', '.join(standing.left)} are left",
            fix=f"penstock rollout rollback {standing.name} --challenger VERSION",
        )
