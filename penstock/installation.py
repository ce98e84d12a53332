"""An installation: its folder, database, log, secret and clock."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from sqlalchemy import Engine

from penstock import migrations
from penstock.logs import open_log
from penstock.settings import Settings
from streams import installation as stored
from streams import keys
from streams.db.clock import Clock, restarted
from streams.db.engine import connect, reading, writing
from streams.errors import ConfigError, InputError, UnavailableError
from streams.logs.base import Log, TopicState
from streams.topics import EVENTS, TOPICS

CLOCK_NAME = "clock.json"
CONNECTIONS = {"intake": 2, "control": 4, "shadow": 2}
"""Sessions that a role opens on PostgreSQL at most. Intake works on one at a time; of control's
duties a few may run at once, and none may keep the lease from being renewed.
"""


class Installation(msgspec.Struct, frozen=True):
    """An installation that is open; `opened` closes it."""

    settings: Settings
    engine: Engine
    log: Log
    clock: Clock

    def now_ms(self) -> int:
        """Domain time: what events, plans and horizons are measured by."""
        return self.clock.domain_ms()


def prepare(settings: Settings) -> None:
    """Everything a start needs exists: folder, schema at head, secret, clock and topics.

    On Kafka topics are made by `penstock topics ensure` and never in passing; that they are there
    with the right number of partitions is checked. Raises ConfigError when they are not.
    """
    make_folder(settings)
    migrations.upgrade(settings.database)
    engine = connect(settings.database, durable=True)
    try:
        with writing(engine) as connection:
            stored.prepare(connection, now_ms=Clock().wall_ms())
            clock = restarted(settings.speed, stored.last_tick(connection))
    finally:
        engine.dispose()
    _keep_clock(settings, clock)
    log = open_log(settings, clock=clock)
    try:
        if settings.kafka_servers:
            require_topics(settings, log)
        else:
            make_topics(settings, log)
    finally:
        log.close()


def make_topics(settings: Settings, log: Log) -> list[TopicState]:
    """Every topic of the house is there; those that stand keep what they have."""
    return [
        log.ensure(
            topic.name,
            settings.partitions,
            retention_ms=settings.log_retention_ms if topic is EVENTS else topic.retention_ms,
            retention_bytes=settings.log_retention_bytes,
        )
        for topic in TOPICS.values()
    ]


def require_topics(settings: Settings, log: Log) -> None:
    """Raises ConfigError for a topic that is missing or has another number of partitions."""
    for name in TOPICS:
        try:
            state = log.state(name)
        except InputError as error:
            raise ConfigError(
                error.message, why="topics are never made in passing", fix=error.fix
            ) from error
        if state.partitions != settings.partitions:
            raise ConfigError(
                f"topic {name!r} has {state.partitions} partitions, not {settings.partitions}",
                why="an event's partition follows from their number, which is fixed for ever",
                fix=f"set PENSTOCK_PARTITIONS={state.partitions}, or another PENSTOCK_KAFKA_PREFIX",
            )


def make_folder(settings: Settings) -> None:
    """The data folder is there. Raises ConfigError when it cannot be made or written to."""
    folder = settings.data_dir.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        why = "" if os.access(folder, os.W_OK | os.X_OK) else "it cannot be written to"
    except OSError as error:
        why = f"{error.strerror}: {error.filename}"
    if why:
        raise ConfigError(
            f"{folder} cannot be the data folder",
            why=why,
            fix="set PENSTOCK_DATA_DIR to a folder that this account may write to",
        )


@contextmanager
def opened(
    settings: Settings, *, durable: bool = True, role: str = "cli"
) -> Iterator[Installation]:
    """The installation, which must have been prepared; `durable` commits survive a power cut.

    `role` is who works on it: PostgreSQL lists its sessions under this name, and it has as many
    of them as `CONNECTIONS` says, or the setting for web. Kafka's groups know it by this name too,
    unless PENSTOCK_WORKER gives another.
    """
    require_log(settings)
    require_head(settings)
    sessions = CONNECTIONS.get(role, settings.web_connections)
    engine = connect(
        settings.database, durable=durable, connections=sessions, name=f"penstock {role}"
    )
    clock = read_clock(settings)
    try:
        log = open_log(settings, clock=clock, role=role)
        try:
            yield Installation(settings, engine, log, clock)
        finally:
            log.close()
    finally:
        engine.dispose()


def require_log(settings: Settings) -> None:
    """Raises ConfigError where the embedded log was never made."""
    if not settings.kafka_servers and not settings.log_path.exists():
        raise ConfigError(
            f"{settings.data_dir.absolute()} holds no installation yet",
            why="`penstock up` or `penstock db upgrade` makes it; PENSTOCK_DATA_DIR says where",
            fix="penstock up",
        )


def require_head(settings: Settings) -> None:
    """Raises ConfigError unless the database has the schema of this release."""
    status = schema(settings)
    if status.pending:
        raise ConfigError(
            f"the database has schema {status.current or 'none'}, this release needs {status.head}",
            why=f"not yet run: {', '.join(status.pending)}",
            fix="penstock db upgrade",
        )


def schema(settings: Settings) -> migrations.Status:
    """Where the schema is; a database file that does not exist yet is not made by asking."""
    if not settings.database_url and not (settings.data_dir / "penstock.db").exists():
        revisions = migrations.revisions()
        return migrations.Status(None, revisions[0], tuple(reversed(revisions)))
    return migrations.status(settings.database)


def read_clock(settings: Settings) -> Clock:
    """The domain clock that every process of the installation shares."""
    try:
        return msgspec.json.decode((settings.data_dir / CLOCK_NAME).read_bytes(), type=Clock)
    except FileNotFoundError:
        return Clock()


def _keep_clock(settings: Settings, clock: Clock) -> None:
    path = settings.data_dir / CLOCK_NAME
    beside = path.with_suffix(".new")
    try:
        beside.write_bytes(msgspec.json.encode(clock))
        beside.replace(path)
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be written: {error.strerror}", fix="free space and start again"
        ) from error


def refuse_open_doors(installation: Installation) -> None:
    """Raises ConfigError when others could reach an installation that asks for no key."""
    if installation.settings.loopback:
        return
    with reading(installation.engine) as connection:
        if not keys.list_keys(connection):
            raise ConfigError(
                f"PENSTOCK_HOST={installation.settings.host} is open to others, and no key exists",
                why="without a key anybody who reaches the address could send events",
                fix="penstock key create first, or leave PENSTOCK_HOST at 127.0.0.1",
            )


def process_name(role: str, settings: Settings) -> str:
    """What this process is called in positions, leases and `penstock status`.

    The same before and after a crash wherever it can be: on the embedded log, and where
    PENSTOCK_WORKER names it.
    """
    if not settings.kafka_servers:
        return lasting_owner(role, settings)
    return f"{role}-{settings.worker}" if settings.worker else owner(role)


def owner(role: str) -> str:
    """What this very process is called."""
    return f"{role}-{os.uname().nodename}-{os.getpid()}"


def lasting_owner(role: str, settings: Settings) -> str:
    """What the one process that plays `role` on this folder is called, before and after a crash.

    A successor of the same name takes over leases and claims at once instead of waiting until
    they run out. `penstock.lock` sees to it that a folder has one.
    """
    folder = hashlib.blake2b(str(settings.data_dir.absolute()).encode(), digest_size=6).hexdigest()
    return f"{role}-{os.uname().nodename[:80]}-{folder}"
