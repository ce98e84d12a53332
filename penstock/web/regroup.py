"""Joins the requests of one key that come in at about the same time into few log records.

While an append of a key is under way, its next requests gather; they go out together when it
is done, or at once when they are many. A lone request does not wait. Requests of different keys
are never joined, because an envelope names the one key whose events it holds.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future

from streams import envelopes
from streams.logs.group_commit import GroupCommit

ENVELOPE_BYTES = 256 << 10
GATHERED_BYTES = 1 << 20


class _Gathering:
    """What one key's requests have brought since its last append began."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.by_partition: dict[int, list[bytes]] = {}
        self.refused: dict[int, list[bytes]] = {}
        self.bytes = 0
        self.done: asyncio.Future[None] = loop.create_future()


class Regrouper:
    """Appends events to one topic. Belongs to one event loop; not for other threads.

    `records` and `bytes` count what it has appended, `waiting` the bytes not yet durable.
    """

    def __init__(self, commits: GroupCommit, topic: str) -> None:
        self._commits = commits
        self._topic = topic
        self._gathering: dict[str | None, _Gathering] = {}
        self._under_way: dict[str | None, int] = {}
        self.records = 0
        self.bytes = 0
        self.waiting = 0

    async def append(
        self,
        key: str | None,
        events: Mapping[int, Sequence[bytes]],
        refused: Mapping[int, Sequence[bytes]],
    ) -> None:
        """All of it is durable on return. Raises what the log raised; then none of it is."""
        if not events and not refused:
            return
        loop = asyncio.get_running_loop()
        gathering = self._gathering.get(key)
        if gathering is None:
            gathering = self._gathering[key] = _Gathering(loop)
            if not self._under_way.get(key):
                loop.call_soon(self._flush, key, gathering)
        size = _join(gathering.by_partition, events) + _join(gathering.refused, refused)
        gathering.bytes += size
        self.waiting += size
        if gathering.bytes >= GATHERED_BYTES:
            self._flush(key, gathering)
        await asyncio.shield(gathering.done)  # others wait for it too

    def _flush(self, key: str | None, gathering: _Gathering) -> None:
        if self._gathering.get(key) is not gathering:
            return  # it grew large and has gone out already
        del self._gathering[key]
        self._under_way[key] = self._under_way.get(key, 0) + 1
        values = [
            (partition, envelope)
            for groups in (gathering.by_partition, gathering.refused)
            for partition, lines in groups.items()
            for envelope in _envelopes(lines, key)
        ]
        loop = gathering.done.get_loop()
        future = self._commits.append(self._topic, values)
        future.add_done_callback(
            lambda done: loop.call_soon_threadsafe(self._landed, key, gathering, done, values)
        )

    def _landed(
        self,
        key: str | None,
        gathering: _Gathering,
        done: Future[list[int]],
        values: list[tuple[int, bytes]],
    ) -> None:
        self.waiting -= gathering.bytes
        left = self._under_way.pop(key) - 1
        if left:
            self._under_way[key] = left
        error = done.exception()
        if error is None:
            self.records += len(values)
            self.bytes += sum(len(value) for _, value in values)
            gathering.done.set_result(None)
        else:
            gathering.done.set_exception(error)
        following = self._gathering.get(key)
        if following is not None and not left:
            self._flush(key, following)


def _join(into: dict[int, list[bytes]], lines: Mapping[int, Sequence[bytes]]) -> int:
    size = 0
    for partition, some in lines.items():
        into.setdefault(partition, []).extend(some)
        size += sum(map(len, some))
    return size


def _envelopes(lines: Sequence[bytes], key: str | None) -> Iterator[bytes]:
    """The lines in order, in envelopes of about ENVELOPE_BYTES."""
    start, size = 0, 0
    for k, line in enumerate(lines):
        if size and size + len(line) > ENVELOPE_BYTES:
            yield envelopes.pack(lines[start:k], key=key)
            start, size = k, 0
        size += len(line) + 1
    if start < len(lines):
        yield envelopes.pack(lines[start:], key=key)
