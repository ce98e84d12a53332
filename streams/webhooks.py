"""Webhooks: who is told of decisions, where, and with which secret it is signed.

A secret is shown once, when it is made. It is kept as it is: a signature needs it, and whoever
can read this database can make up decisions anyway.
"""

import secrets
from collections.abc import Collection

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from streams.errors import ConflictError, InputError
from streams.keys import EVERY_MODEL, MAX_NAME
from streams.tables import webhook

MOST = 50
"""Live webhooks of one installation: each may keep a thread waiting."""

BOTH_MS = 24 * 3_600_000
"""For how long after a rotation the secret before signs too."""

REVOKED, GONE = "revoked", "the receiver answered 410 Gone"

_at = webhook.c
_SHOWN = [
    c for c in webhook.c if c.name not in ("secret", "secret_before", "before_until_ms")
]  # fmt: skip


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook as anybody may see it who may see it at all. Wall time.

    Args:
        took_ms: when the receiver last took something; None: never.
        failing_ms: since when it has taken nothing, although it was asked; None: all is well.
        failure: why, the last time.
    """

    id: str
    url: str
    description: str
    models: tuple[str, ...]
    created_ms: int
    created_by: str
    ended_ms: int | None
    ended_why: str
    took_ms: int | None
    failing_ms: int | None
    failure: str

    @property
    def state(self) -> str:
        """`live`, `failing`, `gone` or `revoked`."""
        if self.ended_ms is not None:
            return "revoked" if self.ended_why == REVOKED else "gone"
        return "live" if self.failing_ms is None else "failing"

    def hears_of(self, model: str) -> bool:
        return EVERY_MODEL in self.models or model in self.models


def create(
    connection: Connection,
    *,
    url: str,
    secret: str,
    models: Collection[str],
    description: str,
    now_ms: int,
    by: str,
) -> Webhook:
    """A live webhook of this address, which the caller has checked."""
    if not models or not all(1 <= len(model) <= MAX_NAME for model in models):
        raise InputError(
            "a webhook hears of models by name, or of all of them by '*'",
            field="models", rule="length",
        )  # fmt: skip
    if len(live(connection)) >= MOST:
        raise ConflictError(
            f"there are {MOST} live webhooks already", fix="penstock webhook revoke one of them"
        )
    made = f"wh_{secrets.token_hex(8)}"
    connection.execute(
        insert(webhook).values(
            id=made, url=url, description=description, secret=secret, secret_before="",
            models=msgspec.json.encode(sorted(set(models))).decode(), before_until_ms=0,
            created_ms=now_ms, created_by=by, ended_why="", failure="",
        )
    )  # fmt: skip
    return one(connection, made)


def one(connection: Connection, webhook_id: str) -> Webhook:
    """The webhook. Raises InputError where there is none."""
    found = select(*_SHOWN).where(_at.id == webhook_id)
    # PostgreSQL could not look for a NUL.
    row = None if "\0" in webhook_id else connection.execute(found).first()
    if row is None:
        raise _unknown(webhook_id)
    return _read(row._asdict())


def every(connection: Connection) -> list[Webhook]:
    """Every webhook that was ever made, the newest first."""
    rows = connection.execute(select(*_SHOWN).order_by(_at.created_ms.desc(), _at.id))
    return [_read(row._asdict()) for row in rows]


def live(connection: Connection) -> list[Webhook]:
    """Those that are told of what happens."""
    return [each for each in every(connection) if each.ended_ms is None]


def signed_with(connection: Connection, webhook_id: str, *, now_ms: int) -> list[str]:
    """The secrets that sign now, the newest first: two for a day after a rotation."""
    row = connection.execute(
        select(_at.secret, _at.secret_before, _at.before_until_ms).where(_at.id == webhook_id)
    ).one()
    return [row.secret, *([row.secret_before] if now_ms < row.before_until_ms else [])]


def rotate(connection: Connection, webhook_id: str, *, secret: str, now_ms: int) -> None:
    """This secret signs, and for a day the one before signs too."""
    changed = connection.execute(
        update(webhook)
        .where(_at.id == webhook_id, _at.ended_ms.is_(None))
        .values(secret=secret, secret_before=_at.secret, before_until_ms=now_ms + BOTH_MS)
    )
    if not changed.rowcount:
        raise _not_live(one(connection, webhook_id))


def end(connection: Connection, webhook_id: str, *, why: str, now_ms: int) -> None:
    """It is told of nothing any more, and its secrets are gone; again changes nothing."""
    one(connection, webhook_id)
    connection.execute(
        update(webhook)
        .where(_at.id == webhook_id, _at.ended_ms.is_(None))
        .values(ended_ms=now_ms, ended_why=why, secret="", secret_before="", before_until_ms=0)
    )


def took(connection: Connection, webhook_id: str, *, now_ms: int) -> None:
    """The receiver took something: whatever was wrong is over."""
    connection.execute(
        update(webhook)
        .where(_at.id == webhook_id)
        .values(took_ms=now_ms, failing_ms=None, failure="")
    )


def failed(connection: Connection, webhook_id: str, *, why: str, now_ms: int) -> None:
    """The receiver did not take something, for this reason."""
    connection.execute(
        update(webhook)
        .where(_at.id == webhook_id)
        .values(failing_ms=func.coalesce(_at.failing_ms, now_ms), failure=why)
    )


def require_live(connection: Connection, webhook_id: str) -> Webhook:
    """The webhook. Raises InputError where there is none, ConflictError where it has ended."""
    found = one(connection, webhook_id)
    if found.ended_ms is not None:
        raise _not_live(found)
    return found


def _read(row: dict[str, object]) -> Webhook:
    models = msgspec.json.decode(str(row["models"]), type=tuple[str, ...])
    return Webhook(**{**row, "models": models})  # type: ignore[arg-type]


def _unknown(webhook_id: str) -> InputError:
    return InputError(
        f"there is no webhook {webhook_id[:80]!r}", field="id", rule="exists",
        fix="see the ids with `penstock webhook list`",
    )  # fmt: skip


def _not_live(found: Webhook) -> ConflictError:
    return ConflictError(
        f"webhook {found.id} has ended", why=found.ended_why,
        fix=f"penstock webhook create {found.url} makes another",
    )  # fmt: skip
