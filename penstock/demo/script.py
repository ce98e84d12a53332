"""What happens to each request: a function of the seed and the request's number alone.

Requests come in blocks of a hundred, and every block holds the same shares in another order, so
that `docs/demo.md` can work the counts out on paper and a story that was killed goes on as it
would have gone. Times are domain milliseconds after the request.
"""

import functools
from typing import Literal

import msgspec
import numpy as np

from streams.models import MINUTE_MS

MODEL = "digits"
ROUTE = "default"
CHAMPION = "v1"
COMPLAINT = "complaint"

BLOCK = 100
LABELLED, CORRECTED, LATE, LOST = 84, 4, 4, 3
"""Of a hundred requests; the rest never hear the truth."""
TWICE, COMPLAINED, STRANGE, TIMED_OUT = 10, 20, 30, 50
"""Places in a block: its label is sent twice; its unit complains; a stranger's broken event
comes with it; its image comes too late for any version to answer."""
STRANGE_BLOCKS = 3
"""The stranger comes in each third block: ingest keeps a hundred broken events a minute."""

SOON_MS = (30 * MINUTE_MS, 180 * MINUTE_MS)
CORRECTION_MS = (10 * MINUTE_MS, 30 * MINUTE_MS)
LATE_MS = (250 * MINUTE_MS, 280 * MINUTE_MS)
"""Past the horizon of four hours, wherever in its pane the request was."""
COMPLAINT_MS = 15 * MINUTE_MS

What = Literal["label", "wrong label", "correction", "lost", "complaint", "stranger"]


class Deed(msgspec.Struct, frozen=True):
    """Something that is done about a request, so long after it."""

    after_ms: int
    what: What


class Request(msgspec.Struct, frozen=True):
    """One image on its way through the sorting floor."""

    n: int
    image: int  # which of the images, modulo how many there are
    unit: str
    shift: Literal["day", "night"]
    times_out: bool
    deeds: tuple[Deed, ...]

    @property
    def label_id(self) -> str:
        """Of the first label; a correction names it."""
        return f"truth-{self.n}"


def request(seed: int, n: int) -> Request:
    """Request `n` of the story."""
    return _block(seed, n // BLOCK)[n % BLOCK]


def mistaken(truth: str) -> str:
    """What a clerk writes who takes one digit for the next."""
    return str((int(truth) + 1) % 10)


@functools.lru_cache(maxsize=64)
def _block(seed: int, number: int) -> tuple[Request, ...]:
    draws = np.random.default_rng((seed, number))
    places = draws.permutation(BLOCK).tolist()
    images = draws.integers(0, 1 << 30, BLOCK).tolist()
    units = draws.integers(0, 400, BLOCK).tolist()
    lots = draws.random((BLOCK, 3)).tolist()
    return tuple(
        Request(
            n=number * BLOCK + k,
            image=images[k],
            unit=f"customer-{units[k]}",
            shift="day" if lots[k][2] < 0.6 else "night",
            times_out=places[k] == TIMED_OUT,
            deeds=_deeds(number, places[k], *lots[k][:2]),
        )
        for k in range(BLOCK)
    )


def _deeds(block: int, place: int, lot: float, other: float) -> tuple[Deed, ...]:
    """What is done about the request in this place of its block."""
    soon_ms = _between(SOON_MS, lot)
    deeds: list[Deed] = []
    if place < LABELLED:
        deeds.append(Deed(soon_ms, "label"))
    elif place < LABELLED + CORRECTED:
        first_ms = min(soon_ms, SOON_MS[1] - CORRECTION_MS[1])
        deeds.append(Deed(first_ms, "wrong label"))
        deeds.append(Deed(first_ms + _between(CORRECTION_MS, other), "correction"))
    elif place < LABELLED + CORRECTED + LATE:
        deeds.append(Deed(_between(LATE_MS, lot), "label"))
    elif place < LABELLED + CORRECTED + LATE + LOST:
        deeds.append(Deed(soon_ms, "lost"))
    if place == TWICE:
        deeds.append(Deed(soon_ms + 5_000, "label"))
    elif place == COMPLAINED:
        deeds.append(Deed(COMPLAINT_MS, "complaint"))
    elif place == STRANGE and block % STRANGE_BLOCKS == 0:
        deeds.append(Deed(0, "stranger"))
    return tuple(deeds)


def _between(bounds: tuple[int, int], lot: float) -> int:
    return bounds[0] + int(lot * (bounds[1] - bounds[0]))
