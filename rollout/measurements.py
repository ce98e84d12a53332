"""What monitors measured of a model: the newest closed window of each."""

import msgspec
from sqlalchemy import Connection, select

from rollout.tables import measured
from streams import messages
from streams.db import bulk
from streams.messages import Message, WindowMeasured

SILENT = 2
"""After so many windows without another one a monitor is silent, and what it said last is stale."""

_at = measured.c


def handle(connection: Connection, message: Message, _now_ms: int) -> None:
    """A closed window is the newest of its monitor, unless a later one was."""
    if not isinstance(message, WindowMeasured):
        return
    key = {name: getattr(message, name) for name in ("model", "version", "monitor")}
    row = key | {"to_ms": message.to_ms, "body": messages.encode(message)}
    if bulk.added(connection, measured, row):
        return
    is_mine = (_at.model == message.model) & (_at.version == message.version)
    is_older = (_at.monitor == message.monitor) & (_at.to_ms < message.to_ms)
    connection.execute(measured.update().where(is_mine, is_older).values(row))


def fresh(connection: Connection, model: str, *, now_ms: int) -> tuple[WindowMeasured, ...]:
    """The newest windows of a model's monitors that are not silent, at this domain time."""
    rows = connection.execute(
        select(_at.body).where(_at.model == model).order_by(_at.version, _at.monitor)
    )
    found = [msgspec.json.decode(row.body, type=WindowMeasured) for row in rows]
    return tuple(
        window
        for window in found
        if now_ms - window.to_ms <= SILENT * (window.to_ms - window.from_ms)
    )
