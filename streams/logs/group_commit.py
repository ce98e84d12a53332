"""Many callers, one commit: joins what they append at about the same time.

A commit to disk costs about the same for one record as for a hundred. Callers hand over their
records and get a future; one thread appends what came in within a few milliseconds together.
While an append is under way the next group gathers by itself, so a busy log adds no delay.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from itertools import groupby

import msgspec

from streams.errors import ConfigError, InputError, UnavailableError
from streams.logs.base import Log

MAX_WINDOW_S = 0.020


class _Request(msgspec.Struct, frozen=True, eq=False):
    topic: str
    values: Sequence[tuple[int, bytes]]
    bytes: int
    deadline: float
    future: Future[list[int]]


class GroupCommit:
    """Appends to any `Log` from many threads; close it to write what is still waiting.

    Args:
        window_s: the longest that a record waits for others, at most 20 ms.
        group_bytes: a group of this size is written at once.
        waiting_bytes: more than this is not kept waiting; the caller is told UnavailableError.
    """

    def __init__(
        self,
        log: Log,
        *,
        window_s: float = 0.005,
        group_bytes: int = 1 << 20,
        waiting_bytes: int = 64 << 20,
    ) -> None:
        if not 0 <= window_s <= MAX_WINDOW_S:
            raise ConfigError(f"a group commit waits 0 to {MAX_WINDOW_S} s, not {window_s}")
        self._log = log
        self._window_s = window_s
        self._group_bytes = group_bytes
        self._waiting_bytes = waiting_bytes
        self._waiting: deque[_Request] = deque()
        self._bytes = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    def append(self, topic: str, values: Sequence[tuple[int, bytes]]) -> Future[list[int]]:
        """A future of the offsets, or of what `Log.append` raised; never waits for the disk.

        All or nothing for each caller: a caller's wrong partition fails that caller alone, a
        full disk fails everyone whose records were to be written.
        """
        future: Future[list[int]] = Future()
        size = sum(len(value) for _, value in values)
        with self._changed:
            if self._closing or self._bytes + size > self._waiting_bytes:
                future.set_exception(_refused(closing=self._closing))
                return future
            deadline = time.monotonic() + self._window_s
            self._waiting.append(_Request(topic, values, size, deadline, future))
            self._bytes += size
            self._changed.notify()
        return future

    def close(self) -> None:
        """Everything taken so far has been appended or refused; the log itself stays open."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while group := self._gather():
            by_topic = sorted(group, key=lambda request: request.topic)  # stable: order stays
            for topic, requests in groupby(by_topic, key=lambda request: request.topic):
                self._write(topic, list(requests))

    def _gather(self) -> list[_Request]:
        """The next group, or none once closed and drained."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            while self._waiting and self._bytes < self._group_bytes and not self._closing:
                left_s = self._waiting[0].deadline - time.monotonic()
                if left_s <= 0:
                    break
                self._changed.wait(left_s)
            group: list[_Request] = []
            size = 0
            while self._waiting and (not group or size < self._group_bytes):
                request = self._waiting.popleft()
                self._bytes -= request.bytes
                size += request.bytes
                group.append(request)
        return group

    def _write(self, topic: str, group: list[_Request]) -> None:
        live = [request for request in group if request.future.set_running_or_notify_cancel()]
        try:
            offsets = iter(self._log.append(topic, [v for request in live for v in request.values]))
        except InputError:
            self._write_apart(topic, live)
        except BaseException as error:
            for request in live:
                request.future.set_exception(error)
        else:
            for request in live:
                request.future.set_result(_take(offsets, len(request.values)))

    def _write_apart(self, topic: str, live: list[_Request]) -> None:
        for request in live:
            try:
                request.future.set_result(self._log.append(topic, request.values))
            except BaseException as error:
                request.future.set_exception(error)


def _take(offsets: Iterator[int], count: int) -> list[int]:
    return [next(offsets) for _ in range(count)]


def _refused(*, closing: bool) -> UnavailableError:
    if closing:
        return UnavailableError("the log is being closed", fix="send it again after the restart")
    return UnavailableError(
        "too much is waiting for the log", why="the disk is slower than the callers", fix="retry"
    )
