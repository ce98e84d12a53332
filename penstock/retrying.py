"""Dead letters: looked at, and sent again once what stopped them was repaired."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec

from penstock.direct import Direct
from penstock.installation import Installation
from penstock.web.batches import Rejected
from streams import codec, deadletters
from streams.db.engine import reading, writing
from streams.errors import InputError

PAGE = 500


class Retried(msgspec.Struct, frozen=True):
    """What became of one letter."""

    id: int
    sent: bool
    code: str = ""
    detail: str = ""


def page(here: Installation, *, after_id: int, limit: int) -> list[dict[str, Any]]:
    """Dead letters past `after_id`, oldest first, with their place and what was sent."""
    with reading(here.engine) as connection:
        letters = deadletters.page(connection, after_id=after_id, limit=limit)
    return [_shown(letter) for letter in letters]


def edited(path: Path) -> list[bytes]:
    """The events of a file, one a line."""
    try:
        return [line for line in path.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", field="file") from error


def retry(
    here: Installation, *, ids: Collection[int], edited: Sequence[bytes] | None = None
) -> list[Retried]:
    """These letters, or all that wait when `ids` is empty, are sent again and marked.

    `edited` replaces what was sent, line by line in the order of `ids`. A letter whose event was
    cut when it was kept can only be sent again with its text edited.
    """
    letters = [letter for letter in _letters(here) if letter.id in ids or not ids]
    missing = set(ids) - {letter.id for letter in letters}
    if missing:
        raise InputError(
            f"there is no dead letter {min(missing)}", field="id", fix="penstock events rejected"
        )
    if edited is not None and len(edited) != len(letters):
        raise InputError(
            f"{len(edited)} edited events for {len(letters)} dead letters",
            field="file",
            rule="one line for each --id, in their order",
        )
    order = list(ids)
    if order:
        letters.sort(key=lambda letter: order.index(letter.id))
    target = Direct(here.log)
    done = [
        _sent(target, letter, letter.raw if edited is None else edited[k])
        for k, letter in enumerate(letters)
    ]
    with writing(here.engine) as connection:
        sent = [retried.id for retried in done if retried.sent]
        deadletters.mark_retried(connection, sent, here.now_ms())
    return done


def _sent(target: Direct, letter: deadletters.Stored, event: bytes) -> Retried:
    if event == letter.raw and len(event) >= codec.MAX_RAW_BYTES:
        return Retried(letter.id, False, "cut", "only its start was kept: send it with --file")
    try:
        rejected: list[Rejected] = target.take(codec.split(event)[1], key=letter.key_id)
    except InputError as error:
        return Retried(letter.id, False, error.rule, error.message)
    if rejected:
        return Retried(letter.id, False, rejected[0].code, rejected[0].detail)
    return Retried(letter.id, True)


def _letters(here: Installation) -> list[deadletters.Stored]:
    """Every dead letter that was not sent again yet."""
    found: list[deadletters.Stored] = []
    after_id = 0
    while True:
        with reading(here.engine) as connection:
            letters = deadletters.page(connection, after_id=after_id, limit=PAGE)
        if not letters:
            return found
        after_id = letters[-1].id
        found += [letter for letter in letters if letter.retried_ms is None]


def _shown(letter: deadletters.Stored) -> dict[str, Any]:
    return {
        "id": letter.id,
        "at_ms": letter.at_ms,
        "code": letter.code,
        "field": letter.field,
        "detail": letter.detail,
        "place": f"{letter.partition}@{letter.log_offset}.{letter.idx}",
        "key_id": letter.key_id,
        "retried_ms": letter.retried_ms,
        "raw": letter.raw.decode(errors="replace"),
    }
