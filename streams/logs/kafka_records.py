"""What kafka-python fetched, as records of the house."""

from collections.abc import Iterator, Sequence
from typing import Any

from streams import cloudevents
from streams.envelopes import NOTHING
from streams.logs.base import Record


def records_of(fetched: Sequence[Any], expected: int) -> Iterator[Record]:
    """The records that follow offset `expected` - 1, with what the client passed over.

    Kafka gives offsets to marks of transactions and to what was written in one that was aborted,
    and a client leaves both out. A tombstone has no value; it is as empty as an empty one.
    """
    for one in fetched:
        value = one.value or b""
        if one.headers:
            value = cloudevents.from_record(one.headers, value)
        yield Record(one.partition, one.offset, one.timestamp, value, one.offset - expected)
        expected = one.offset + 1


def nothing(partition: int, *, begin: int, end: int, now_ms: int) -> Record:
    """Stands for offsets `begin` to `end` - 1, which hold no record."""
    return Record(partition, end - 1, now_ms, NOTHING, end - 1 - begin)
