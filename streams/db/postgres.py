"""How Penstock talks to PostgreSQL: the limits of a session, and what its errors mean.

psycopg is an optional extra, so it is imported when an error may be one of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from streams.errors import ConflictError, Error, UnavailableError

STATEMENT_MS = 30_000
IDLE_MS = 5_000
"""A worker that is frozen in a transaction must not hold its rows for ever."""

CONNECT_S = 5
_LOST = {
    "40001": "another transaction came first",  # serialization failure
    "40P01": "two transactions waited for each other",  # deadlock
}
_REFUSED = "23514"  # by a check, or by a partition that is not the row's any more
_AWAY = {
    "25P03": "the transaction was idle for too long",  # and the server ended the session
    "55P03": "a lock was waited for too long",
    "57014": "a statement took too long",
}
_AWAY_CLASSES = {"08", "53", "57", "58"}  # connection, resources, operator, the server's system


def arguments(query: Mapping[str, object], *, wait_s: float, name: str) -> dict[str, object]:
    """What a session is opened with; whatever the URL's own `query` names stays as it says."""
    settings: dict[str, object] = {
        # A plan that was made while a table was empty reads all of it when it has grown: at 100 k
        # rows the server spent forty times what it spends on planning each statement anew.
        "plan_cache_mode": "force_custom_plan",
        "idle_in_transaction_session_timeout": IDLE_MS,
        "lock_timeout": int(wait_s * 1000),
        "statement_timeout": STATEMENT_MS,
        # Neither limit holds while the server waits for the rest of a COPY: a worker whose machine
        # is gone without a word must not hold its rows for the two hours of TCP's own patience.
        "tcp_keepalives_idle": 10,
        "tcp_keepalives_interval": 5,
        "tcp_keepalives_count": 3,
    }
    own = str(query.get("options", ""))
    ours = [f"-c {setting}={value}" for setting, value in settings.items() if setting not in own]
    defaults = {
        "application_name": name,
        "connect_timeout": CONNECT_S,
        # A server that is gone without a word is noticed in seconds, not in two hours.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
    }
    given: dict[str, object] = {key: v for key, v in defaults.items() if key not in query}
    return given | {"options": " ".join([own, *ours]).strip()}


def prepare(driver: Any, _record: object) -> None:
    """A new session copies bytes by the driver's compiled code.

    Of all that can write a bytea the driver takes the one registered last, which is DB-API's, in
    Python: a sixth of what COPY costs us.
    """
    from psycopg.adapt import PyFormat

    driver.adapters.register_dumper(bytes, driver.adapters.get_dumper(bytes, PyFormat.BINARY))


def fetched(
    connection: Connection, statement: str, arguments: Sequence[object]
) -> list[tuple[Any, ...]]:
    """The rows that a hot statement gives, in binary: the driver reads bytes twice as fast.

    Its marks are `%b` where arguments go in binary too.
    """
    driver: Any = connection.connection.driver_connection
    with driver.cursor(binary=True) as cursor:
        cursor.execute(statement, arguments)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def execute(connection: Connection, statement: str, arguments: Sequence[object]) -> int:
    """The same for one that gives none; returns how many rows it was about."""
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        cursor.execute(statement, arguments)
        return int(cursor.rowcount)


def ours(error: BaseException) -> Error | None:
    """The error that a caller may act on; None for a statement that was wrong, and for others."""
    try:
        import psycopg
    except ModuleNotFoundError:
        return None
    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate or ""
    if state in _LOST:
        return ConflictError(_LOST[state], why=str(error), fix="retry")
    if state == _REFUSED and error.diag.constraint_name is None:
        return ConflictError("the table's partitions have changed", why=str(error), fix="retry")
    away = state in _AWAY or state[:2] in _AWAY_CLASSES
    if away or isinstance(error, psycopg.OperationalError):
        said = _AWAY.get(state, "the database is away or busy")
        return UnavailableError(said, why=str(error), fix="retry when it is back")
    return None


def taken(error: BaseException) -> bool:
    """Whether a row was refused because its key is there already."""
    return getattr(error, "sqlstate", None) == "23505"
