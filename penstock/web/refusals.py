"""Errors of the rooms below as problems: each class has its own, whatever was asked."""

from penstock.errors import ConditionError
from penstock.web.problems import Problem
from streams.errors import (
    ConflictError,
    Error,
    IllegalTransitionError,
    InputError,
    NotAllowedError,
    UnavailableError,
)

RETRY_AFTER_S = 2
_SLUGS: dict[type[Error], str] = {
    ConditionError: "gate-not-met",
    ConflictError: "conflict",
    IllegalTransitionError: "not-accepted",
    NotAllowedError: "not-yours",
}


def refused(error: Error, *, bad_input: str) -> Problem:
    """The problem that `error` is; `bad_input` is the slug of what was wrongly given."""
    if isinstance(error, UnavailableError):
        return Problem("database-unavailable", error.message, retry_after_s=RETRY_AFTER_S)
    detail = f"{error.message}: {error.why}" if error.why else error.message
    if isinstance(error, InputError):
        fault: dict[str, object] = {"pointer": error.field, "detail": detail, "fix": error.fix}
        if error.line is not None:
            fault["line"] = error.line
        return Problem(bad_input, detail, errors=[fault])
    slug = next((slug for kind, slug in _SLUGS.items() if isinstance(error, kind)), "internal")
    return Problem(slug, detail)
