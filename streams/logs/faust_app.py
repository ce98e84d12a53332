"""A Faust app in a thread of its own: it joins the group, fetches, and hands records over.

Faust decides nothing here. Its tables, acks and supervisors stay unused: state and positions are
the database's, and what the app cannot survive ends it, to be started anew.
"""

import asyncio
import tempfile
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple

import faust
from aiokafka import errors as kafka_errors
from faust.types import TP

from streams import cloudevents
from streams.errors import ConfigError, Error, UnavailableError
from streams.logs.base import Record
from streams.logs.faust_driver import new_app
from streams.logs.kafka_cluster import Cluster

HANDED_BYTES = 8 << 20  # handed over and not yet taken, before the app waits
ANSWER_S = 10.0  # how long a seek may last
STOP_S = 1.0  # how long the app may take to end
REFUSED = (
    kafka_errors.AuthenticationFailedError,
    kafka_errors.GroupAuthorizationFailedError,
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
)


class Assignment(NamedTuple):
    """The partitions that the group's last rebalance gave, and how many there were so far."""

    rebalances: int = 0
    partitions: frozenset[int] = frozenset()


class FaustApp:
    """One run of an app: from joining the group until it is stopped or fails.

    `assignment`, `take`, `seek`, `commit` and `stop` are for the one thread that reads.
    """

    def __init__(self, cluster: Cluster, *, topic: str, group: str) -> None:
        self._cluster = cluster
        self._topic = topic
        self._group = group
        self._app: Any = None  # a faust.App, whose types know less than it can
        self._news = threading.Condition()  # guards the next three
        self._assignment = Assignment()
        self._records: list[Record] = []
        self._bytes = 0
        self._error: BaseException | None = None
        self._room = asyncio.Event()
        self._asked = asyncio.Event()  # to stop
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="faust", daemon=True)
        self._thread.start()

    def assignment(self) -> Assignment:
        """What is ours now; nothing from the beginning of a rebalance to its end."""
        with self._news:
            return self._assignment

    def take(self, known: Assignment, timeout_s: float) -> list[Record]:
        """What was handed over meanwhile, or else within `timeout_s`.

        Nothing, at once, while what is ours is not what the reader knows.
        """
        with self._news:
            if not self._records and self._assignment == known:
                self._news.wait(timeout_s)
            if self._assignment != known:
                return []
            records, self._records, self._bytes = self._records, [], 0
        if records:
            self._call(self._room.set)
        return records

    def seek(self, places: Mapping[int, int]) -> None:
        """The app fetches from these offsets on; what it fetched before may still be handed over.

        Void if the partitions are taken away meanwhile. Raises UnavailableError when Faust does
        not do it, or has ended.
        """
        try:
            with suppress(kafka_errors.IllegalStateError):
                self._submit(self._seek(places)).result(ANSWER_S)
        except Exception as error:  # of another thread's event loop
            raise UnavailableError(
                "Faust could not seek", why=f"{type(error).__name__}: {error}"
            ) from error

    def commit(self, offsets: Mapping[int, int], *, within_s: float = 0.0) -> None:
        """The group's committed offsets follow soon, or never: nothing depends on them."""
        with suppress(Exception):
            told = self._submit(self._commit(offsets))
            if within_s:
                told.result(within_s)

    @property
    def failure(self) -> Error | None:
        """Why the app has ended by itself; None while it runs."""
        return None if self._thread.is_alive() else _translated(self._error)

    def stop(self) -> None:
        """The app has ended; one that does not within `STOP_S` is left behind."""
        self._call(self._asked.set)
        self._thread.join(STOP_S)

    # --- in the app's thread

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._live())
        except BaseException as error:
            self._error = error
        finally:
            self.rebalance_began()  # nothing is ours any more

    async def _live(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            app = self._app = self._new_app(folder)
            asked = asyncio.ensure_future(self._asked.wait())
            try:
                for step in (app.start, app.wait_until_stopped):
                    done = asyncio.ensure_future(step())
                    await asyncio.wait({done, asked}, return_when=asyncio.FIRST_COMPLETED)
                    if asked.done():
                        done.cancel()
                        return
                    done.result()
                self._error = app.crash_reason
            finally:
                asked.cancel()
                await app.stop()

    def _new_app(self, folder: str) -> faust.App:
        app = new_app(self._cluster, group=self._group, folder=folder, told=self)
        topic = app.topic(
            self._topic, key_type=bytes, key_serializer="raw", value_type=bytes,
            value_serializer="raw", acks=False,
        )  # fmt: skip
        app.agent(topic)(self._hand_over)
        return app

    async def _hand_over(self, stream: Any) -> None:
        async for event in stream.events():
            record = _record(event.message)
            with self._news:
                self._records.append(record)
                self._bytes += len(record.value)
                self._news.notify()
            while self._bytes > HANDED_BYTES:
                self._room.clear()
                await self._room.wait()

    async def _seek(self, places: Mapping[int, int]) -> None:
        await self._app.consumer.seek_wait({TP(self._topic, p): at for p, at in places.items()})

    async def _commit(self, offsets: Mapping[int, int]) -> None:
        """Past Faust's acks, which stop for good where offsets are passed over."""
        if not self._app.rebalancing:
            await self._app.consumer._commit({TP(self._topic, p): at for p, at in offsets.items()})

    # --- a rebalance; it begins in a thread of Faust's own

    def rebalance_began(self) -> None:
        """Whatever was ours may be another's by now."""
        with self._news:
            self._assignment = Assignment(self._assignment.rebalances + 1)
            self._news.notify()

    def rebalance_ended(self) -> None:
        """What Faust has now is ours."""
        ours = frozenset(place.partition for place in self._app.consumer.assignment())
        with self._news:
            self._assignment = Assignment(self._assignment.rebalances, ours)
            self._news.notify()

    def _submit(self, coroutine: Coroutine[Any, Any, None]) -> "Future[None]":
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:  # the loop has ended
            coroutine.close()
            raise

    def _call(self, function: Any) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(function)


def _record(message: Any) -> Record:
    """As `kafka_records.records_of`, but what was passed over before it."""
    value = message.value or b""
    if message.headers:
        value = cloudevents.from_record(message.headers, value)
    return Record(message.partition, message.offset, round(message.timestamp * 1000), value)


def _translated(error: BaseException | None) -> Error:
    if isinstance(error, REFUSED):
        return ConfigError(
            "Kafka refuses the group to Faust",
            why=f"{type(error).__name__}: {error}",
            fix="check the user, its password and its rights (PENSTOCK_KAFKA_*)",
        )
    return UnavailableError(
        "Faust has ended",
        why=f"{type(error).__name__}: {error}" if error else "its app stopped by itself",
        fix="see whether the brokers are up; it is started again",
    )
