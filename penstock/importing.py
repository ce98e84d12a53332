"""Labels and predictions from tables: rows to checked events, in batches to send.

Every event is decoded here once, by the decoder that ingest uses, so that a dry run finds what a
real run would, and a bad row is told by its line and column.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from penstock import rows
from penstock.mapping import Kind, Map, Mapper, RowError
from penstock.sending import BATCH_COUNT, Batch, Refusal
from streams import codec, yamls
from streams.errors import InputError
from streams.events import time_ms

PREVIEWED = 3
BATCH_BYTES = 900_000
"""With one more event it is still less than a body may be."""

_encoder = msgspec.json.Encoder()


class Import:
    """One file under one map.

    `newest_ms` is the newest event time so far, `late` how many rows were older than that by
    more than `lateness_ms`. With `refuse_before_ms`, older predictions are refused: a live
    store would count them as late.
    """

    def __init__(
        self,
        path: Path,
        mapping: Map,
        kind: Kind,
        *,
        lateness_ms: int,
        refuse_before_ms: int | None,
    ) -> None:
        self._path = path
        self._map = mapping
        self._mapper = Mapper(mapping, kind)
        self._lateness_ms = lateness_ms
        self._refuse_before_ms = refuse_before_ms if kind == "predictions" else None
        self.newest_ms = 0
        self.late = 0
        self.preview: list[dict[str, Any]] = []

    def rows(self) -> int:
        """How many rows the file has."""
        return rows.count(self._path)

    def batches(self) -> Iterator[Batch]:
        """The good rows as lines, the others as refusals, in the order of the file."""
        lines: list[bytes] = []
        numbers: list[int] = []
        refused: list[Refusal] = []
        size = 0
        for number, row in rows.read(self._path, self._map.columns_read(), self._map.csv):
            if len(lines) + len(refused) >= BATCH_COUNT or size > BATCH_BYTES:
                yield self._checked(lines, numbers, refused)
                lines, numbers, refused, size = [], [], [], 0
            try:
                line = self._line(row)
            except RowError as error:
                refused.append(Refusal(number, error.code, error.column, error.detail))
                continue
            lines.append(line)
            numbers.append(number)
            size += len(line) + 1
        if lines or refused:
            yield self._checked(lines, numbers, refused)

    def _line(self, row: dict[str, Any] | RowError) -> bytes:
        if isinstance(row, RowError):
            raise row
        event = self._mapper.event(row)
        if len(self.preview) < PREVIEWED:
            self.preview.append(event)
        return _encoder.encode(event)

    def _checked(self, lines: list[bytes], numbers: list[int], refused: list[Refusal]) -> Batch:
        end = max([*numbers[-1:], *(refusal.line for refusal in refused[-1:])])
        decoded = codec.decode(lines)
        for bad in decoded.bad:
            column = self._map.column_of(bad.fault.field)
            refused.append(Refusal(numbers[bad.index], bad.fault.code, column, bad.fault.detail))
        kept: list[bytes] = []
        kept_numbers: list[int] = []
        for event, index in zip(decoded.events, decoded.indexes, strict=True):
            at_ms = time_ms(event.time)
            if self._refuse_before_ms is not None and at_ms < self._refuse_before_ms:
                refused.append(self._too_old(numbers[index]))
                continue
            self.late += at_ms < self.newest_ms - self._lateness_ms
            self.newest_ms = max(self.newest_ms, at_ms)
            kept.append(lines[index])
            kept_numbers.append(numbers[index])
        return Batch(kept, kept_numbers, refused, end)

    def _too_old(self, number: int) -> Refusal:
        return Refusal(
            number,
            "too_old_for_live",
            self._map.column_of("time"),
            f"older than the lateness ({self._lateness_ms // 1000} s): use --store scratch:FOLDER",
        )


def read_map(path: Path) -> Map:
    """The map in a YAML or JSON file; errors name line and field."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", field="map") from error
    return yamls.read(text, Map, name=path.name)
