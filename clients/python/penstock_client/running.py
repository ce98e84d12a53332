"""What a client is made of, from its first event to the end of its process.

It outlives a fork, whose child begins with nothing, and is closed when its process ends.
"""

import atexit
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from .buffer import Buffer, Entry
from .counts import Counts, Tally
from .ids import Ids, lot_of
from .limits import Limits
from .notices import Notices
from .sender import Parts, Sender
from .spool import Spool
from .stats import Stats, Tolls
from .transport import IMPORTING, Transport

_Self = TypeVar("_Self", bound="Running")
_OPEN: "set[Running]" = set()  # until closed: a client that goes out of use still has to flush


class Running:
    """Lines on their way to one server: buffered, counted, sent or spooled."""

    def __init__(
        self,
        scope: str,
        connect: Callable[[], Transport],
        *,
        folder: Path,
        spool_folder: Path | None,
        limits: Limits,
    ) -> None:
        self._scope = scope
        self._connect = connect
        self._folder = folder
        self._spool_folder = spool_folder
        self._limits = limits
        self._begin()
        _OPEN.add(self)

    def _begin(self) -> None:
        """Empty, with no thread and no file: both come with the first request."""
        limits, scope = self._limits, self._scope
        self._closed = False
        self._ids = Ids()
        self._tolls = Tolls()
        self._notices = Notices(every_s=limits.report_s)
        self._counts = Counts(self._folder, scope)
        self._buffer = Buffer(
            limit_bytes=limits.buffer_bytes,
            batch_bytes=limits.batch_bytes,
            batch_events=limits.batch_events,
        )
        self._spool = None
        if self._spool_folder is not None:
            self._spool = Spool(
                self._spool_folder,
                scope,
                limit_bytes=limits.spool_bytes,
                batch_events=limits.batch_events,
            )
        parts = Parts(
            self._buffer, self._counts, self._connect(), self._spool, self._notices, self._tolls
        )
        self._sender = Sender(
            parts, limits, folder=self._folder, scope=scope, before_start=self._join_worker_exit
        )

    def stats(self) -> Stats:
        """What became of the events so far."""
        tolls, buffer = self._tolls, self._buffer
        return Stats(
            recorded=tolls["recorded"],
            invalid=tolls["invalid"],
            accepted=tolls["accepted"],
            duplicate=tolls["duplicate"],
            rejected=tolls["rejected"],
            dropped=buffer.dropped + tolls["dropped at exit"],
            waiting=len(buffer) + self._sender.in_flight,
            waiting_bytes=buffer.waiting_bytes,
            spooled_bytes=self._spool.waiting_bytes if self._spool else 0,
            requests=tolls["requests"],
            failures=tolls["failures"],
            kept_share=buffer.kept_share,
            counts_lasting=self._counts.lasting,
            last_fault=self._notices.last,
        )

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Everything recorded before is settled with the server, or `timeout_s` has passed.

        This is the one call that waits; from asyncio: `await asyncio.to_thread(client.flush)`.
        """
        return self._sender.flush(timeout_s)

    def close(self, timeout_s: float | None = None) -> None:
        """What is left is sent, spooled, or counted as dropped; later events are dropped.

        Waits for at most `timeout_s` (default `Limits.exit_s`); the end of the process calls it.
        """
        if self._closed:
            return
        self._closed = True
        _OPEN.discard(self)
        self._sender.close(self._limits.exit_s if timeout_s is None else timeout_s)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, owner: str, line: bytes, tally: Tally | None = None) -> None:
        self._tolls.add("recorded")
        if self._closed:
            self._tolls.add("dropped at exit")
            return
        ready = self._buffer.put(Entry(lot_of(owner), line, tally))
        self._sender.recorded(ready=ready)

    def _invalid(self, error: Exception) -> None:
        self._tolls.add("invalid")
        try:
            self._notices.note("event invalid", f"{type(error).__name__}: {error}"[:300])
        except Exception:  # an error whose text raises
            self._notices.note("event invalid", type(error).__name__)

    def _join_worker_exit(self) -> None:
        """A worker of multiprocessing ends without `atexit`; its own exit will close the client."""
        workers = sys.modules.get("multiprocessing.process")
        if workers is not None and workers.parent_process() is not None:
            from multiprocessing.util import Finalize

            Finalize(None, self.close, exitpriority=10)

    def _begin_in_child(self) -> None:
        parents = self._sender
        self._begin()
        parents.abandon()


def _close_all() -> None:
    for client in list(_OPEN):
        client.close()


def _begin_in_children() -> None:
    IMPORTING.release()
    for client in list(_OPEN):
        client._begin_in_child()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=IMPORTING.acquire,
        after_in_parent=IMPORTING.release,
        after_in_child=_begin_in_children,
    )
