"""Rows of CSV and Parquet files, streamed, with the line or row number of each."""

import csv
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from penstock.mapping import Layout, RowError
from streams.errors import ConfigError, InputError

Numbered = tuple[int, dict[str, Any] | RowError]
"""The number of a row, and its cells by column or why it has none."""

PARQUET_MAGIC = b"PAR1"
GZIP_MAGIC = b"\x1f\x8b"
READ_ROWS = 1_000


def is_parquet(path: Path) -> bool:
    """Whether the file is Parquet, by its first bytes; InputError when it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(4) == PARQUET_MAGIC
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", field="file") from error


def count(path: Path) -> int:
    """How many rows there are; of CSV the lines after the header."""
    if is_parquet(path):
        return int(_parquet(path).metadata.num_rows)
    with _text(path, "latin-1") as stream:
        return max(0, sum(1 for _ in stream) - 1)


def read(path: Path, columns: set[str], layout: Layout) -> Iterator[Numbered]:
    """Every row's cells in `columns`; InputError when the file lacks one of them."""
    return _read_parquet(path, columns) if is_parquet(path) else _read_csv(path, columns, layout)


def _read_csv(path: Path, columns: set[str], layout: Layout) -> Iterator[Numbered]:
    with _text(path, layout.encoding) as stream:
        reader = csv.reader(stream, delimiter=layout.delimiter, strict=True)
        header = [name.strip() for name in next(reader, [])]
        _check(path, header, columns)
        places = {name: header.index(name) for name in columns}
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                yield line, RowError("malformed_csv", "", str(error))
                continue
            if cells is None:
                return
            if not cells:
                continue
            if len(cells) != len(header):
                fault = f"{len(cells)} cells where the header has {len(header)}"
                yield line, RowError("malformed_csv", "", fault)
                continue
            row = {name: cells[place] for name, place in places.items()}
            yield line, _encoding_fault(row) or row


def _encoding_fault(row: dict[str, str]) -> RowError | None:
    """Undecodable bytes were read as lone surrogates."""
    for name, text in row.items():
        if not text.isascii() and any("\udc80" <= c <= "\udcff" for c in text):
            return RowError("bad_encoding", name, "not in the encoding that the map names")
    return None


def _read_parquet(path: Path, columns: set[str]) -> Iterator[Numbered]:
    file = _parquet(path)
    _check(path, file.schema_arrow.names, columns)
    number = 0
    for batch in file.iter_batches(batch_size=READ_ROWS, columns=sorted(columns)):
        for row in batch.to_pylist():
            number += 1
            yield number, row


def _parquet(path: Path) -> Any:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        raise ConfigError(
            "reading Parquet needs the extra parquet", fix="pip install 'penstock[parquet]'"
        ) from error
    try:
        return ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise InputError(f"{path}: not readable as Parquet: {error}", field="file") from error


def _check(path: Path, header: list[str], columns: set[str]) -> None:
    twice = {name for name in columns if header.count(name) > 1}
    missing = columns - {*header}
    if twice or missing:
        name = min(twice or missing)
        said = "stands twice in" if twice else "is not in"
        raise InputError(
            f"{path.name}: column {name!r} {said} the header",
            field=name,
            rule="header",
            fix=f"columns: {', '.join(header)[:400]}",
        )


@contextmanager
def _text(path: Path, encoding: str) -> Iterator[io.TextIOBase]:
    try:
        with path.open("rb") as raw:
            is_gzip = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            stream = gzip.GzipFile(fileobj=raw) if is_gzip else raw
            yield io.TextIOWrapper(stream, encoding=encoding, errors="surrogateescape", newline="")
    except LookupError as error:
        raise InputError(f"map: csv.encoding: {error}", field="csv.encoding") from error
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: {type(error).__name__}: {error}", field="file") from error
