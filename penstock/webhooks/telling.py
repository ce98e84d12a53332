"""Who is told of a message from the topic `decisions`, and in which words: a CloudEvent 1.0."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Connection

from penstock.webhooks import signing
from streams import deliveries, installation, webhooks
from streams.cloudevents import CONTENT_TYPE
from streams.db.clock import Clock
from streams.deliveries import New
from streams.messages import Message, ReviewClosed, RolloutDecided

KINDS: Mapping[type[Message], str] = {
    RolloutDecided: "io.penstock.rollout.decided.v1",
    ReviewClosed: "io.penstock.review.closed.v1",
}
TEST = "io.penstock.webhook.test.v1"
CONTENT = f"{CONTENT_TYPE}; charset=utf-8"


class Teller:
    """The handler of a subscription: what webhooks are to hear is on its way once it commits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def handle(self, connection: Connection, message: Message, _now_ms: int) -> None:
        if not isinstance(message, RolloutDecided | ReviewClosed):
            return
        hearing = [each for each in webhooks.live(connection) if each.hears_of(message.model)]
        if not hearing:
            return
        ours = installation.installation_id(connection)
        body = told(message, installation=ours)
        known_by = signing.message_id(ours, message.id)
        deliveries.put(
            connection,
            [New(each.id, known_by, message.id, body) for each in hearing],
            now_ms=self._clock.wall_ms(),
        )


def told(message: RolloutDecided | ReviewClosed, *, installation: str) -> bytes:
    """A message as it goes over the wire; `data` is that of the topic."""
    data = msgspec.to_builtins(message)
    del data["type"]
    return event(
        KINDS[type(message)], id=message.id, installation=installation, at_ms=message.at_ms,
        subject=message.model, data=data,
    )  # fmt: skip


def event(
    kind: str, *, id: str, installation: str, at_ms: int, data: Mapping[str, Any], subject: str = ""
) -> bytes:
    """A CloudEvent in its structured JSON form."""
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": id,
            "source": UUID(installation).urn,
            "type": kind,
            **({"subject": subject} if subject else {}),
            "time": datetime.fromtimestamp(at_ms / 1000, UTC),
            "datacontenttype": "application/json",
            "data": data,
        }
    )
