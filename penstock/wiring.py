"""Where the rooms are put together: what each child of `penstock up` runs.

Each role imports what it needs when it starts, so that intake does not carry a web server.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection

from penstock.installation import Installation, opened, process_name
from penstock.ops.presence import FORGET_MS, present
from penstock.ops.vitals import Vitals, Watched
from penstock.settings import Settings
from streams import deadletters, expiry, presence, registry, subscriptions
from streams.db.clock import Clock
from streams.db.engine import reading, writing
from streams.errors import Error
from streams.installation import keep_expiry, keep_tick
from streams.logs.embedded import EmbeddedLog
from streams.models import Declaration
from streams.presence import Told
from streams.topics import DECISIONS, EVENTS, MEASUREMENTS, TOPICS
from streams.versions import Version

Role = Callable[[Settings, threading.Event, Vitals], None]


def web(settings: Settings, stop: threading.Event, vitals: Vitals) -> None:
    """Pages and ingest."""
    from penstock.web.app import create_app
    from penstock.web.serve import serve
    from streams.logs.group_commit import GroupCommit

    with opened(settings, role="web") as here:
        commits = GroupCommit(here.log, window_s=settings.group_commit_ms / 1000)
        try:
            app = create_app(
                settings=settings, log=here.log, commits=commits, engine=here.engine, checks={}
            )
            with present(
                here.engine, name=process_name("web", settings), role=vitals.role,
                tell=lambda: Told(url=settings.url),
            ):  # fmt: skip
                serve(app, settings.host, settings.port, stop)
        finally:
            commits.close()


def intake(settings: Settings, stop: threading.Event, vitals: Vitals) -> None:
    """The one pass over events."""
    from penstock.intake import pipeline
    from penstock.ops.intake import Worker

    with opened(settings, durable=False, role="intake") as here:
        worker = pipeline(here, owner=process_name(vitals.role, settings))
        with _playing(here, vitals, Worker(here, worker)):
            worker.run(stop, tick=vitals.beat)


def control(settings: Settings, stop: threading.Event, vitals: Vitals) -> None:
    """What one process at a time does: relay, expiry, retention, the clock's tick."""
    from penstock.control import Control, Duty
    from penstock.following import Follower
    from penstock.listening import Listening
    from penstock.ops.control import Keeper
    from penstock.webhooks import delivering, keeping
    from penstock.webhooks.telling import Teller
    from rollout import measurements
    from rollout.closer import UnitCloser
    from streams.closer import Closer
    from streams.relay import Relay

    with opened(settings, role="control") as here:
        name = process_name(vitals.role, settings)
        closer = Closer(here.engine, clock=here.clock)
        sticky = UnitCloser(
            here.engine, topic=EVENTS.name, partitions=lambda: len(here.log.bounds(EVENTS.name))
        )
        relay = Relay(here.log, here.engine, owner=name, clock=here.clock)
        measured = Listening(
            here, MEASUREMENTS, consumer="rollout", owner=name, handle=measurements.handle
        )
        decided = Listening(
            here, DECISIONS, consumer="webhooks", owner=name, handle=Teller(here.clock).handle
        )
        deliverer = delivering.Deliverer(here.engine, keeping.fetcher(settings))
        duties = [
            Duty("relay", 0.1, lambda: relay.step() > 0),
            Duty("closer", 1.0, closer.step),
            Duty("units", 1.0, sticky.step),
            Duty("tick", 1.0, lambda: _tick(here)),
            Duty("measurements", 1.0, measured.step),
            Duty("webhook messages", 1.0, decided.step),
            Duty("webhooks", 0.5, deliverer.step),
            Duty("webhook history", 600.0, lambda: delivering.forget(here.engine)),
            Duty("rollouts", 1.0, lambda: _watch(here)),
            Duty("reviews", 1.0, lambda: _settle(here)),
            Duty("chain heads", 60.0, lambda: _publish_heads(here)),
            Duty("routes", 60.0, lambda: _renew_routes(here)),
            Duty("ledger days", 600.0, lambda: _make_days(here)),
            Duty("ledger", 60.0, lambda: _expire_ledger(here)),
            Duty("reviewed answers", 600.0, lambda: _forget_reviewed(here)),
            Duty("dead letters", 60.0, lambda: _expire_letters(here)),
            Duty("log retention", 60.0, lambda: _trim(here)),
            Duty("processes", 60.0, lambda: _forget_processes(here)),
            Duty("inbox", 3600.0, lambda: _forget_messages(here)),
        ]
        if settings.mlflow_url:
            follower = Follower(here.engine, settings, owner=name, clock=here.clock)
            duties.append(Duty("mlflow aliases", 5.0, follower.step))
        keeper = Control(here.engine, duties, owner=name)
        with _playing(here, vitals, Keeper(here, keeper, deliverer)):
            keeper.run(stop, tick=vitals.beat)
        for ending in (measured, decided, deliverer):
            ending.close()


def shadow(
    settings: Settings, stop: threading.Event, vitals: Vitals, *, named: Sequence[tuple[str, str]]
) -> None:
    """Candidates beside the live version: the challengers of live rollouts, and `named` ones."""
    from penstock.ops.shadow import Runner
    from rollout.shadow import Candidate
    from rollout.shadow_pass import Shadow

    def begin(version: Version, model: Declaration) -> Candidate:
        return Candidate(settings.files_dir, version, model, seconds=time.monotonic)

    with opened(settings, role="shadow") as here:
        runner = Shadow(
            here.log, here.engine, owner=process_name(vitals.role, settings), clock=here.clock,
            begin=begin, seconds=time.monotonic, named=named,
        )  # fmt: skip
        with _playing(here, vitals, Runner(here, runner)):
            runner.run(stop, tick=vitals.beat)


@contextmanager
def _playing(here: Installation, vitals: Vitals, watched: Watched) -> Iterator[None]:
    """This process is seen at its role: by its health and metrics, and by the others."""
    name = process_name(vitals.role, here.settings)
    with (
        vitals.playing(watched),
        present(here.engine, name=name, role=vitals.role, tell=watched.tell),
    ):
        yield


def _tick(here: Installation) -> None:
    """A clock of its own goes on from here after a restart; the wall's needs no keeping."""
    if here.clock != Clock():
        with writing(here.engine) as connection:
            keep_tick(connection, here.now_ms())


def _watch(here: Installation) -> None:
    """Every live rollout is looked at; one that cannot be keeps none of the others waiting.

    Raises the first error that there was.
    """
    from rollout import store
    from rollout.watching import watch

    faults = []
    with reading(here.engine) as connection:
        names = store.live(connection)
    for name in names:
        try:
            watch(
                here.engine, name, now_ms=here.now_ms(), wall_ms=here.clock.wall_ms(),
                speed=here.clock.speed,
            )  # fmt: skip
        except Error as error:
            faults.append(error)
    if faults:
        raise faults[0]


def _settle(here: Installation) -> None:
    from rollout import reviewing

    reviewing.settle(here.engine, now_ms=here.now_ms(), wall_ms=here.clock.wall_ms())


def _publish_heads(here: Installation) -> None:
    from rollout import heads

    with writing(here.engine) as connection:
        heads.publish(connection, now_ms=here.now_ms(), wall_ms=here.clock.wall_ms())


def _renew_routes(here: Installation) -> None:
    """A route whose table nobody renews is back on the champion within the hour."""
    from rollout import readers, routes

    with writing(here.engine) as connection:
        routes.renew(connection, now_ms=here.clock.wall_ms())
        readers.forget(connection, now_ms=here.clock.wall_ms())


def _make_days(here: Installation) -> None:
    with writing(here.engine) as connection:
        expiry.make_days(connection, now_ms=here.now_ms())


def _expire_ledger(here: Installation) -> bool:
    """Requests past every horizon are gone, a short transaction's worth; whether any were."""
    with writing(here.engine) as connection:
        before_ms = here.now_ms() - _kept_ms(connection)
        gone = expiry.expire(connection, before_ms=before_ms, limit=200)
        keep_expiry(connection, at_ms=here.clock.wall_ms(), before_ms=before_ms)
    return gone > 0


def _forget_reviewed(here: Installation) -> None:
    """What a service sent for a review is kept as long as its request."""
    from rollout import reviews

    with writing(here.engine) as connection:
        reviews.forget(connection, before_ms=here.now_ms() - _kept_ms(connection))


def _kept_ms(connection: Connection) -> int:
    return expiry.kept_ms(registry.longest_horizon_ms(connection))


def _expire_letters(here: Installation) -> None:
    before_ms = here.now_ms() - here.settings.dead_letter_retention_ms
    with writing(here.engine) as connection:
        deadletters.expire(connection, before_ms=before_ms)


def _trim(here: Installation) -> None:
    if isinstance(here.log, EmbeddedLog):  # Kafka's brokers do it themselves
        for topic in TOPICS:
            here.log.trim(topic, now_ms=here.now_ms())


def _forget_processes(here: Installation) -> None:
    with writing(here.engine) as connection:
        presence.forget(connection, before_ms=here.clock.wall_ms() - FORGET_MS)


def _forget_messages(here: Installation) -> None:
    """What was handled so long ago that no topic holds it any more cannot come again."""
    kept_ms = max(topic.retention_ms for topic in TOPICS.values())
    with writing(here.engine) as connection:
        subscriptions.forget(connection, before_ms=here.clock.wall_ms() - 2 * kept_ms)


PLAYED: Mapping[str, Role] = {"web": web, "intake": intake, "control": control}
"""Each role of `penstock.supervisor.ROLES` and what plays it."""
