"""The one tree of errors that a caller may act on.

    Error                       anything Penstock refuses or cannot do
    ├── ConfigError             the settings or a declaration are wrong: fix and start again
    ├── InputError (ValueError) the given value is wrong: fix the value, do not repeat it
    ├── ConflictError           someone else moved it: read again, then it is safe to retry
    ├── UnavailableError        a log, database or disk is away or full: safe to retry later
    ├── ScoringError            a version's file gave no answer: it counts as its error
    ├── NotAllowedError         the one who asks has not the right: another one must
    └── IllegalTransitionError  the pair (stage, signal) is not in the table

Every error carries `why` (the cause) and `fix` (what to do next), which the command line
prints as `why:` and `next:` lines and HTTP puts into its problem document.
"""


class Error(Exception):
    """Penstock refuses or cannot do this."""

    def __init__(self, message: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.why = why
        self.fix = fix


class ConfigError(Error):
    """A setting or declaration is wrong."""


class InputError(Error, ValueError):
    """The value `field` names breaks `rule`; `line` is where it stands in a file that has lines."""

    def __init__(
        self,
        message: str,
        *,
        field: str = "",
        rule: str = "",
        why: str = "",
        fix: str = "",
        line: int | None = None,
    ) -> None:
        super().__init__(message, why=why, fix=fix)
        self.field = field
        self.rule = rule
        self.line = line


class ConflictError(Error):
    """Someone else moved it; reading again and retrying is safe."""


class UnavailableError(Error):
    """A log, database or disk is away, busy or full; retrying later is safe."""


class ScoringError(Error):
    """A version's file gave no answer.

    `kind` is load, run, crashed, timeout, memory, not-finite or shape.
    """

    def __init__(self, message: str, *, kind: str, why: str = "", fix: str = "") -> None:
        super().__init__(message, why=why, fix=fix)
        self.kind = kind


class NotAllowedError(Error):
    """The one who asks has not the right: another person, key or role is needed."""


class IllegalTransitionError(Error):
    """`signal` is not accepted in `stage`."""

    def __init__(self, stage: str, signal: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(f"what is {stage!s} does not accept {signal!s}", why=why, fix=fix)
        self.stage = stage
        self.signal = signal
