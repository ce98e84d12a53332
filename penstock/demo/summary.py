"""The end of the story: what the service says it sent, beside what Penstock counted.

The left column is folded from the service's journal and never from Penstock, the right one from
Penstock's counters and never from the journal.
"""

from collections import Counter
from collections.abc import Iterator

import msgspec

from penstock.demo import script
from penstock.demo.figures import Figures
from penstock.demo.journal import Book
from penstock.demo.models import Images

LIVE, SHADOW = (script.LIVE, "live"), (script.SHADOW, "shadow")


class Row(msgspec.Struct, frozen=True):
    """One figure from both sides. `is_sent`: its events are part of what was sent."""

    name: str
    service: int
    penstock: int
    is_sent: bool = False


class Summary(msgspec.Struct, frozen=True):
    """Both sides of every figure."""

    rows: tuple[Row, ...]

    @property
    def agrees(self) -> bool:
        return all(row.service == row.penstock for row in self.rows)

    @property
    def sent(self) -> int:
        """Events that the service and the stranger sent, repeats left out."""
        return sum(row.service for row in self.rows if row.is_sent)

    def lines(self) -> Iterator[str]:
        """For a terminal."""
        yield f"{'':<44}{'service':>10}{'Penstock':>10}"
        for row in self.rows:
            mark = "" if row.service == row.penstock else "   <- differs"
            yield f"{row.name:<44}{row.service:>10,}{row.penstock:>10,}{mark}"
        yield ""
        if self.agrees:
            yield f"every one of {self.sent:,} events was counted once"
        else:
            yield f"of {self.sent:,} events, not every one was counted once"


def own(book: Book, images: Images, seed: int) -> Counter[str]:
    """What the service did, in figures."""
    said: Counter[str] = Counter()
    for served in book.served:
        request = script.request(seed, served.n)
        said["served"] += 1
        said["timed out"] += served.live is None
        live = None if served.live is None else served.live[0]
        said["disagreed"] += live != served.shadow[0]
        done = {d.what for k, d in enumerate(request.deeds) if (served.n, k) in book.done}
        for what in done:
            said[what] += 1
        if done & {"label", "wrong label"}:
            truth = images.truth(request.image)
            if "wrong label" in done and "correction" not in done:
                truth = script.mistaken(truth)
            said["labelled"] += 1
            said["v2 right"] += served.shadow[0] == truth
            said["v1 right"] += live == truth
            said["v1 wrong"] += live not in (None, truth)
    return said


def compared(said: Counter[str], figures: Figures) -> Summary:
    """Every figure that both sides can tell."""
    live, shadow = figures.of(*LIVE).now, figures.of(*SHADOW).now
    labels = said["label"] + said["wrong label"] + said["correction"]
    declared = live["declared_missing"]
    return Summary(
        (
            Row("answers of v1, live", said["served"], live["answered"], is_sent=True),
            Row("   of them errors: v1 timed out", said["timed out"], live["errors"]),
            Row("answers of v2, shadow", said["served"], shadow["answered"], is_sent=True),
            Row("pairs of the two", said["served"], shadow["paired"]),
            Row("   of them in disagreement", said["disagreed"], shadow["disagreed"]),
            Row("labels", labels, figures.rows["label"] - declared, is_sent=True),
            Row("   requests that have one", said["labelled"], live["labelled"]),
            Row("   v1 was right", said["v1 right"], live["right"]),
            Row("   v1 was wrong", said["v1 wrong"], live["wrong"]),
            Row("   v2 was right", said["v2 right"], shadow["right"]),
            Row("   v2 was wrong", said["labelled"] - said["v2 right"], shadow["wrong"]),
            Row("truths declared missing", said["lost"], declared, is_sent=True),
            Row("complaints of customers", said["complaint"], figures.complaints, is_sent=True),
            Row(
                "broken events of a stranger, kept apart",
                said["stranger"],
                sum(figures.rejected.values()),
                is_sent=True,
            ),
        )
    )
