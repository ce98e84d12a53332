"""What the store knows of the requests of a batch, read in bulk, and what a batch adds to it.

Rows are written once and never updated. A request belongs to one group: its own id, or the join
key that its answers carried where that differs.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, delete, func, select

from streams.answer_rows import AnswerRow, Answers
from streams.db import bulk
from streams.errors import ConflictError
from streams.facts import Truth
from streams.tables import (
    answer,
    answer_blob,
    assigned,
    confirmation,
    join_row,
    label,
    label_blob,
    orphan,
    report,
)

_REQUEST = ("day", "pid16", "model_no")
_TRUTH = ("label_code", "value", "observed_ms", "supersedes", "label_id8", "by_kind", "by_join")


class Orphan(NamedTuple):
    """A label that waits for its request, with the place it came from."""

    day: int
    pid16: bytes
    model_no: int
    source_no: int
    label_id8: bytes
    partition: int
    log_offset: int
    idx: int
    appended_ms: int
    seen_ms: int
    hops: int
    raw: bytes

    @property
    def key(self) -> bytes:
        return bulk.request_key(self.day, self.pid16, self.model_no)


class Report(NamedTuple):
    """Feedback about a unit on a route."""

    model_no: int
    feedback_id8: bytes
    unit8: int
    route_no: int
    name_no: int
    value: float | None
    label_code: int
    event_ms: int
    supersedes8: bytes | None
    partition: int
    log_offset: int
    idx: int


class Stored(msgspec.Struct):
    """What the store holds about some requests; the fold reads it and adds to it as it goes."""

    answers: dict[bytes, list[AnswerRow]]
    labels: dict[bytes, list[tuple[int, Truth]]]  # by what they address: (source_no, truth)
    orphans: dict[bytes, list[Orphan]]
    members: dict[bytes, list[bytes]]  # group -> requests that carried the join key
    groups: dict[bytes, bytes]  # request -> its group, where it is not itself


class Added(msgspec.Struct):
    """Rows that one batch adds."""

    answers: Answers
    answer_blobs: list[tuple[Any, ...]]
    confirmations: list[tuple[Any, ...]]
    labels: list[tuple[Any, ...]]
    label_blobs: list[tuple[Any, ...]]
    orphans: list[Orphan]
    adopted: list[Orphan]  # orphans that found their request
    joins: list[tuple[bytes, int, int, int, bytes]]


def probe(connection: Connection, keys: Iterable[bytes], groups: Iterable[bytes]) -> Stored:
    """Everything stored about these requests and groups.

    Args:
        keys: requests that events name by id.
        groups: join keys that events carry, as request keys; they may be ids themselves.
    """
    stored = Stored({}, {}, {}, {}, {})
    named = set(groups)
    wanted = named.union(keys)
    _find_answers(connection, stored, wanted)
    _find_groups(connection, stored, stored.answers)
    # A request that is known may belong to a join key that no event of this batch names.
    named.update(stored.groups.values())
    behind = (named | _find_members(connection, stored, named)) - wanted
    _find_answers(connection, stored, behind)
    _find_groups(connection, stored, behind & stored.answers.keys())
    columns = (*_REQUEST, "source_no", *_TRUTH)
    spoken_of = named.union(stored.answers)
    for row in bulk.by_request(connection, label, spoken_of, columns=columns):
        key = bulk.request_key(*row[:3])
        stored.labels.setdefault(key, []).append((row[3], Truth(*row[4:])))
    for row in bulk.by_request(connection, orphan, wanted, columns=Orphan._fields):
        waiting = Orphan(*row)
        stored.orphans.setdefault(waiting.key, []).append(waiting)
    return stored


def _find_answers(connection: Connection, stored: Stored, keys: set[bytes]) -> None:
    for row in bulk.by_request(connection, answer, keys, columns=AnswerRow._fields):
        found = AnswerRow(*row)
        key = bulk.request_key(found.day, found.pid16, found.model_no)
        stored.answers.setdefault(key, []).append(found)
    for key in keys & stored.answers.keys():
        stored.answers[key].sort(key=lambda r: (r.log_offset, r.idx))


def _find_groups(connection: Connection, stored: Stored, keys: Iterable[bytes]) -> None:
    for row in joins_of(connection, keys):
        stored.groups[bulk.request_key(row[1], row[2], row[3])] = group_key(row)


def _find_members(connection: Connection, stored: Stored, groups: set[bytes]) -> set[bytes]:
    """Every request of these groups."""
    found = set()
    for row in sorted(joins_to(connection, groups)):
        key = bulk.request_key(row[1], row[2], row[3])
        stored.groups[key] = group_key(row)
        stored.members.setdefault(group_key(row), []).append(key)
        found.add(key)
    return found


# A join row is (group day, day, pid16, model_no, join16): the group key needs a day, and a join
# key that is no UUIDv7 has day 0.
def joins_of(connection: Connection, keys: Iterable[bytes]) -> list[tuple[Any, ...]]:
    """The join rows of these requests."""
    columns = ("join_day", "day", "pid16", "model_no", "join16")
    return bulk.by_request(connection, join_row, keys, columns=columns)


def joins_to(connection: Connection, groups: set[bytes]) -> list[tuple[Any, ...]]:
    """The join rows of every request of these groups."""
    if not groups:
        return []
    table = join_row.c
    rows: list[tuple[Any, ...]] = []
    by_model: dict[int, list[bytes]] = defaultdict(list)
    for group in groups:
        _, join16, model_no = bulk.parts(group)
        by_model[model_no].append(join16)
    for model_no, joins in by_model.items():
        for low in range(0, len(joins), 500):
            found = connection.execute(
                select(table.join_day, table.day, table.pid16, table.model_no, table.join16).where(
                    table.model_no == model_no, table.join16.in_(joins[low : low + 500])
                )
            )
            rows.extend(tuple(row) for row in found)
    return rows


def group_key(row: tuple[Any, ...]) -> bytes:
    """The group that a join row names."""
    return bulk.request_key(row[0], row[4], row[3])


def save(connection: Connection, added: Added) -> None:
    """These rows are in the store. Raises ConflictError when another worker wrote one first."""
    # In the order of the key: pages fill up, whatever the partitions.
    bulk.insert_columns(connection, answer, added.answers.in_order().columns())
    bulk.insert(connection, answer_blob, added.answer_blobs)
    bulk.insert(connection, confirmation, added.confirmations)
    bulk.insert(connection, label, added.labels)
    bulk.insert(connection, label_blob, added.label_blobs)
    bulk.insert(connection, join_row, added.joins)
    bulk.insert(connection, orphan, added.orphans)
    for waiting in added.adopted:
        if connection.execute(_delete_orphan(waiting)).rowcount != 1:
            raise ConflictError("the closer sent this orphan on since it was probed")


def _delete_orphan(waiting: Orphan) -> Any:
    at = orphan.c
    return delete(orphan).where(
        at.day == waiting.day, at.pid16 == waiting.pid16, at.model_no == waiting.model_no,
        at.source_no == waiting.source_no, at.label_id8 == waiting.label_id8,
    )  # fmt: skip


def confirmed(connection: Connection, keys: Iterable[bytes]) -> set[tuple[bytes, int]]:
    """Which of these requests have a confirmed answer, and of which version."""
    columns = (*_REQUEST, "version_no")
    rows = bulk.by_request(connection, confirmation, keys, columns=columns)
    return {(bulk.request_key(*row[:3]), row[3]) for row in rows}


def reports(
    connection: Connection, model_no: int, ids: list[bytes]
) -> tuple[dict[bytes, Report], set[bytes]]:
    """The stored reports with these feedback ids, and which of the ids another one supersedes."""
    at = report.c
    rows = connection.execute(
        select(*(at[name] for name in Report._fields)).where(
            at.model_no == model_no, at.feedback_id8.in_(ids)
        )
    )
    found = {row.feedback_id8: Report(*row) for row in rows}
    superseded = connection.execute(
        select(at.supersedes8).where(at.model_no == model_no, at.supersedes8.in_(ids))
    )
    return found, {row.supersedes8 for row in superseded}


AssignedKey = tuple[bytes, int, int, int, int, int]  # the primary key of `assigned`


def assigned_counts(
    connection: Connection, keys: Iterable[AssignedKey]
) -> dict[AssignedKey, tuple[int, int, int]]:
    """(assigned, answered, dropped) of these keys, where they are stored."""
    at = assigned.c
    wanted = set(keys)
    if not wanted:
        return {}
    rows = connection.execute(
        select(assigned).where(
            at.instance16.in_({key[0] for key in wanted}),
            at.minute_ms.in_({key[1] for key in wanted}),
        )
    )
    stored: dict[AssignedKey, tuple[int, int, int]] = {
        (row[0], row[1], row[2], row[3], row[4], row[5]): (row[6], row[7], row[8]) for row in rows
    }
    return {key: stored[key] for key in wanted if key in stored}


def save_assigned(connection: Connection, counts: dict[AssignedKey, tuple[int, int, int]]) -> None:
    """These are the stored counts now."""
    names = [column.name for column in assigned.columns]
    rows = [dict(zip(names, (*key, *values), strict=True)) for key, values in counts.items()]
    bulk.upsert(connection, assigned, rows, update=("assigned", "answered", "dropped"))


def size(connection: Connection) -> dict[str, int]:
    """Rows in the ledger, its labels and its orphans."""
    return {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in (answer, label, orphan)
    }
