"""API keys: who may send or ask what, about which models.

A key reads `ps_<id>_<secret>`. The secret has 256 bits and is shown once; the table holds its
SHA-256, so a copy of the database opens nothing. Up to two live keys share a name: that is how
a service rotates without a gap.

    scope             opens
    events:write      predictions, feedback, outcome-missing, assigned counts; route tables
    labels:write      labels and outcome-missing
    rollouts:read     rollouts, their numbers, decisions and route tables
    rollouts:decide   promote, pause and roll back; answer reviews
    datasets:read     datasets and their files
    pii:read          of events that people look at, what their model declares sensitive
    admin             everything
"""

import hmac
import secrets
import threading
from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Row, func, insert, or_, select, update

from streams.db.engine import reading, writing
from streams.errors import InputError
from streams.tables import api_key

SCOPES = frozenset(
    ("events:write", "labels:write", "rollouts:read", "rollouts:decide", "datasets:read",
     "pii:read", "admin")
)  # fmt: skip
EVERY_MODEL = "*"
LIVE_PER_NAME = 2
MAX_NAME = 120
SAVE_USE_MS = 60_000
REREAD_MS = 100
_ID_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


class NewKey(msgspec.Struct, frozen=True):
    """A key just made; `token` is known to nobody else and cannot be read again."""

    id: str
    token: str


class Key(msgspec.Struct, frozen=True):
    """A key as its owner may see it."""

    id: str
    name: str
    scopes: tuple[str, ...]
    models: tuple[str, ...]
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    last_used_ms: int | None

    def state(self, now_ms: int) -> str:
        """`live`, `expired` or `revoked`."""
        if self.revoked_ms is not None:
            return "revoked"
        return "expired" if self.expires_ms is not None and self.expires_ms <= now_ms else "live"


class Principal(msgspec.Struct, frozen=True):
    """Who sends a request: a key, or nobody in particular on an installation without keys."""

    key_id: str | None
    scopes: frozenset[str] = SCOPES
    models: frozenset[str] | None = None  # None is every model
    name: str = "local"  # the key's; somebody on this machine has none

    def may(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes

    def sees(self, model: str) -> bool:
        return self.models is None or model in self.models


def create(
    connection: Connection,
    *,
    name: str,
    scopes: Collection[str],
    models: Collection[str],
    now_ms: int,
    expires_ms: int | None = None,
) -> NewKey:
    """A live key of these rights exists; raises InputError naming what is wrong with them."""
    _check(name, scopes, models, now_ms, expires_ms)
    live = [k for k in list_keys(connection) if k.name == name and k.state(now_ms) == "live"]
    if len(live) >= LIVE_PER_NAME:
        raise InputError(
            f"{name!r} has {len(live)} live keys already",
            field="name",
            rule="at most two live keys share a name",
            fix=f"revoke one of them first: {', '.join(key.id for key in live)}",
        )
    key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(10))
    secret = secrets.token_urlsafe(32)
    connection.execute(
        insert(api_key).values(
            id=key_id,
            name=name,
            secret_sha256=sha256(secret.encode()).digest(),
            scopes=msgspec.json.encode(sorted(set(scopes))).decode(),
            models=msgspec.json.encode(sorted(set(models))).decode(),
            created_ms=now_ms,
            expires_ms=expires_ms,
        )
    )
    return NewKey(key_id, f"ps_{key_id}_{secret}")


def _check(
    name: str,
    scopes: Collection[str],
    models: Collection[str],
    now_ms: int,
    expires_ms: int | None,
) -> None:
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise InputError(
            "a key needs a name of 1-120 printable characters", field="name", rule="length"
        )
    unknown = sorted(set(scopes) - SCOPES)
    if unknown or not scopes:
        said = f"{unknown[0]!r} is not a scope" if unknown else "a key needs a scope"
        raise InputError(
            said, field="scopes", rule="known", fix="one of " + ", ".join(sorted(SCOPES))
        )
    if not models or not all(1 <= len(model) <= MAX_NAME for model in models):
        raise InputError(
            "a key is bound to models by name, or to all of them by '*'",
            field="models",
            rule="length",
        )
    if expires_ms is not None and expires_ms <= now_ms:
        raise InputError("the key would expire before it is made", field="expires_ms", rule="range")


def list_keys(connection: Connection) -> list[Key]:
    """Every key ever made, the newest first; without their secrets."""
    rows = connection.execute(select(api_key).order_by(api_key.c.created_ms.desc(), api_key.c.id))
    return [
        Key(
            row.id,
            row.name,
            tuple(msgspec.json.decode(row.scopes)),
            tuple(msgspec.json.decode(row.models)),
            row.created_ms,
            row.expires_ms,
            row.revoked_ms,
            row.last_used_ms,
        )
        for row in rows
    ]


def revoke(connection: Connection, key_id: str, now_ms: int) -> None:
    """The key opens nothing any more; revoking it again changes nothing."""
    known = connection.execute(
        update(api_key)
        .where(api_key.c.id == key_id)
        .values(revoked_ms=func.coalesce(api_key.c.revoked_ms, now_ms))
    )
    if not known.rowcount:
        raise InputError(
            f"there is no key {key_id!r}",
            field="id",
            rule="exists",
            fix="see the ids with `penstock key list`",
        )


class _Held(msgspec.Struct, frozen=True):
    secret_sha256: bytes
    expires_ms: int | None
    principal: Principal


class KeyRing:
    """The live keys in memory: asking costs no query. Safe between threads.

    Its owner calls `refresh` about once a second, which is how soon a revocation works.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._held: Mapping[str, _Held] = {}
        self._required: bool | None = None  # until the table was read
        self._used: dict[str, int] = {}
        self._read_ms = 0
        self._saved_ms = 0
        self._lock = threading.Lock()

    @property
    def required(self) -> bool | None:
        """Whether a key is needed: from the first that was ever made, even if it was revoked.

        None while the table has never been read.
        """
        return self._required

    def refresh(self, now_ms: int) -> None:
        """What the table says now holds; once a minute it is told which keys were used."""
        self._read_ms = now_ms
        with reading(self._engine) as connection:
            rows = connection.execute(select(api_key)).all()
        self._held = {
            row.id: _Held(row.secret_sha256, row.expires_ms, _principal(row))
            for row in rows
            if row.revoked_ms is None
        }
        self._required = bool(rows)
        if now_ms - self._saved_ms >= SAVE_USE_MS:
            self.save_use()
            self._saved_ms = now_ms

    def refresh_soon(self, now_ms: int) -> None:
        """As `refresh`, unless the table was read a moment ago: guessing keys costs little."""
        if now_ms - self._read_ms >= REREAD_MS:
            self.refresh(now_ms)

    def authenticate(self, token: str, now_ms: int) -> Principal | None:
        """Whose token this is, or None: unknown, expired, revoked and malformed look alike."""
        prefix, _, rest = token.partition("_")
        key_id, _, secret = rest.partition("_")
        held = self._held.get(key_id)
        given = sha256(secret.encode(errors="surrogateescape")).digest()
        matches = hmac.compare_digest(given, held.secret_sha256 if held else bytes(32))
        if held is None or not matches or prefix != "ps":
            return None
        if held.expires_ms is not None and held.expires_ms <= now_ms:
            return None
        with self._lock:
            self._used[key_id] = now_ms
        return held.principal

    def save_use(self) -> None:
        """The table knows when each key was last used."""
        with self._lock:
            used, self._used = self._used, {}
        if not used:
            return
        with writing(self._engine) as connection:
            for key_id, at_ms in used.items():
                earlier = or_(api_key.c.last_used_ms.is_(None), api_key.c.last_used_ms < at_ms)
                connection.execute(
                    update(api_key)
                    .where(api_key.c.id == key_id, earlier)
                    .values(last_used_ms=at_ms)
                )


def _principal(row: Row[Any]) -> Principal:
    scopes = msgspec.json.decode(row.scopes, type=frozenset[str])
    models = msgspec.json.decode(row.models, type=frozenset[str])
    return Principal(row.id, scopes, None if EVERY_MODEL in models else models, row.name)
