"""Webhooks for command line and web: made, listed, tried, sent again, rotated and ended."""

import secrets
import time
from collections.abc import Collection

import msgspec
from msgspec import Struct
from sqlalchemy import Engine

from penstock.outbound.fetcher import Fetcher
from penstock.outbound.rules import read_rules
from penstock.settings import Settings
from penstock.webhooks import signing
from penstock.webhooks.attempts import attempt
from penstock.webhooks.telling import TEST, event
from streams import deliveries, installation, webhooks
from streams.db.engine import reading, writing
from streams.deliveries import Delivery
from streams.errors import InputError
from streams.webhooks import REVOKED, Webhook

LONGEST = 200


class WebhookView(Struct, frozen=True, kw_only=True):
    """A webhook with its state; `waiting` deliveries are on their way to it."""

    id: str
    state: str
    url: str
    description: str
    models: tuple[str, ...]
    waiting: int
    created_ms: int
    created_by: str
    took_ms: int | None
    failing_ms: int | None
    failure: str
    ended_ms: int | None
    ended_why: str


class WebhookSecret(Struct, frozen=True):
    """A webhook or its new secret, which is known to nobody else and cannot be read again."""

    id: str
    url: str
    secret: str


class WebhookTest(Struct, frozen=True, kw_only=True):
    """What a receiver made of a test."""

    id: str
    taken: bool
    status: int | None
    said: str
    took_ms: int


class Resent(Struct, frozen=True):
    """How many deliveries are due again."""

    id: str
    count: int


def fetcher(settings: Settings) -> Fetcher:
    """Sends where the settings allow it. Raises ConfigError for a rule that cannot be read."""
    return Fetcher(
        read_rules(prefixes=settings.outbound_prefixes, networks=settings.outbound_networks)
    )


def create(
    engine: Engine,
    fetcher: Fetcher,
    *,
    url: str,
    models: Collection[str],
    description: str,
    by: str,
) -> WebhookSecret:
    """The webhook is told of what is decided from now on."""
    fetcher.rules.allowed(url)
    if len(description) > LONGEST or not description.isprintable():
        raise InputError(
            f"a description has at most {LONGEST} printable characters", field="description"
        )
    secret = signing.new_secret()
    with writing(engine) as connection:
        made = webhooks.create(
            connection, url=url, secret=secret, models=models, description=description,
            now_ms=_wall_ms(), by=by,
        )  # fmt: skip
    return WebhookSecret(made.id, made.url, secret)


def listed(engine: Engine) -> list[WebhookView]:
    """Every webhook that was ever made, the newest first."""
    with reading(engine) as connection:
        found = webhooks.every(connection)
        waiting = {each.webhook: each.count for each in deliveries.waiting(connection)}
    return [_shown(each, waiting=waiting.get(each.id, 0)) for each in found]


def one(engine: Engine, webhook_id: str) -> Webhook:
    """The webhook. Raises InputError where there is none."""
    with reading(engine) as connection:
        return webhooks.one(connection, webhook_id)


def told(
    engine: Engine, webhook_id: str, *, limit: int, before_id: int | None = None
) -> list[Delivery]:
    """What a webhook was told, or is to be, the newest first."""
    with reading(engine) as connection:
        webhooks.one(connection, webhook_id)
        return deliveries.page(connection, webhook_id, limit=limit, before_id=before_id)


def test(engine: Engine, fetcher: Fetcher, webhook_id: str) -> WebhookTest:
    """The receiver was sent a test, now and once; nothing is kept of it."""
    now_ms = _wall_ms()
    with reading(engine) as connection:
        webhook = webhooks.require_live(connection, webhook_id)
        signed_with = webhooks.signed_with(connection, webhook_id, now_ms=now_ms)
        ours = installation.installation_id(connection)
    name = f"test/{secrets.token_hex(8)}"
    body = event(TEST, id=name, installation=ours, at_ms=now_ms, data={"webhook": webhook_id})
    outcome = attempt(
        fetcher, webhook.url, signed_with=signed_with, message_id=signing.message_id(ours, name),
        body=body, now_ms=now_ms,
    )  # fmt: skip
    return WebhookTest(
        id=webhook_id, taken=outcome.is_taken, status=outcome.status, said=outcome.said,
        took_ms=_wall_ms() - now_ms,
    )  # fmt: skip


def resend(engine: Engine, webhook_id: str, *, events: Collection[str]) -> Resent:
    """These are sent again, or all that were given up.

    Raises InputError for one that the webhook was never to be told.
    """
    with writing(engine) as connection:
        webhooks.require_live(connection, webhook_id)
        known = {each for each in events if "\0" not in each}  # PostgreSQL could not look for it
        count = deliveries.again(
            connection, webhook_id, events=known if events else None, now_ms=_wall_ms()
        )
        if count < len(set(events)):
            raise InputError(
                f"webhook {webhook_id} was not told all of these", field="events", rule="exists",
                fix=f"see what it was told: penstock webhook deliveries {webhook_id}",
            )  # fmt: skip
    return Resent(webhook_id, count)


def rotate(engine: Engine, webhook_id: str) -> WebhookSecret:
    """A new secret signs; for a day the one before signs too."""
    secret = signing.new_secret()
    with writing(engine) as connection:
        webhooks.rotate(connection, webhook_id, secret=secret, now_ms=_wall_ms())
        found = webhooks.one(connection, webhook_id)
    return WebhookSecret(found.id, found.url, secret)


def revoke(engine: Engine, webhook_id: str) -> WebhookView:
    """It is told of nothing any more, also of what was on its way."""
    with writing(engine) as connection:
        webhooks.end(connection, webhook_id, why=REVOKED, now_ms=_wall_ms())
        deliveries.drop(connection, webhook_id)
        return _shown(webhooks.one(connection, webhook_id), waiting=0)


def _shown(found: Webhook, *, waiting: int) -> WebhookView:
    return WebhookView(state=found.state, waiting=waiting, **msgspec.structs.asdict(found))


def _wall_ms() -> int:
    """Receivers live in wall time, whatever the speed of the domain's."""
    return time.time_ns() // 1_000_000
