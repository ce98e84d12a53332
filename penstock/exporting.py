"""A rollout as one file that proves itself: its specs, its decisions, and what each was made by."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from penstock.rollouts import Store
from rollout import kept, store
from rollout.decisions import canonical
from rollout.exports import FORMAT, Head, Seen, Written
from rollout.kept import Kept
from rollout.seals import sealed
from rollout.store import Standing
from streams.db.engine import reading
from streams.errors import UnavailableError


class Exported(Struct, frozen=True, kw_only=True):
    """What was written; `head` is the hash of the newest decision."""

    file: str
    rollout: str
    decisions: int
    looks: int
    bytes: int
    head: str


def export(here: Store, name: str, path: Path) -> Exported:
    """The file at `path` has all of the rollout; one that was there is replaced whole."""
    with reading(here.engine) as connection:
        standing = store.standing(connection, name)
        looks = kept.cited(connection, name)
    text = sealed(_lines(standing, looks))
    _write(path, text)
    return Exported(
        file=str(path), rollout=name, decisions=len(standing.decisions), looks=len(looks),
        bytes=len(text), head=standing.state.head,
    )  # fmt: skip


def _lines(standing: Standing, looks: list[Kept]) -> Iterator[tuple[str, bytes]]:
    head = Head(
        format=FORMAT, rollout=standing.name, model=standing.model, route=standing.route,
        salt=standing.salt, created_ms=standing.created_ms, created_by=standing.created_by,
    )  # fmt: skip
    yield "rollout", msgspec.json.encode(head)
    for each in standing.revisions:
        written = Written(
            no=each.no, digest=each.digest, spec=Raw(each.body), reason=each.reason,
            created_ms=each.created_ms, created_by=each.created_by,
        )  # fmt: skip
        yield "revision", msgspec.json.encode(written)
    by_seq = {look.seq: look for look in looks}
    for made in standing.decisions:
        yield "decision", canonical(made)
        if (look := by_seq.get(made.seq)) is not None:
            seen = Seen(
                seq=look.seq, at_ms=look.at_ms, digest=look.digest, fresh_ms=look.fresh_ms,
                record=Raw(msgspec.json.encode(look.record)),
            )  # fmt: skip
            yield "look", msgspec.json.encode(seen)


def _write(path: Path, text: bytes) -> None:
    beside = path.with_name(f"{path.name}.new")
    try:
        beside.write_bytes(text)
        beside.replace(path)
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be written: {error.strerror}", fix="name another file"
        ) from error
