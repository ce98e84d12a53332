"""The end of the story: what was decided by which evidence, what it changed, and the sums.

In the sums the left column is folded from the service's journal and never from Penstock, the right
one from Penstock's counters and never from the journal.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from penstock.demo import script
from penstock.demo.figures import Figures
from penstock.demo.folder import Story
from penstock.demo.journal import Book, Served
from penstock.demo.models import Images


class Row(msgspec.Struct, frozen=True):
    """One figure from both sides. `is_sent`: its events are part of what was sent."""

    name: str
    service: int
    penstock: int
    is_sent: bool = False


class Sums(msgspec.Struct, frozen=True):
    """Both sides of every figure."""

    rows: tuple[Row, ...]

    @property
    def agree(self) -> bool:
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
        if self.agree:
            yield f"every one of {self.sent:,} events was counted once"
        else:
            yield f"of {self.sent:,} events, not every one was counted once"


def own(book: Book, images: Images, seed: int) -> Counter[str]:
    """What the service did, in figures."""
    said: Counter[str] = Counter()
    for served in book.served:
        request = script.request(seed, served.n)
        answers = served.answers
        said["served"] += 1
        said["shadows"] += len(answers) - 1
        said["errors"] += sum(answer.label is None for answer in answers)
        said["disagreed"] += len({answer.label for answer in answers}) - 1
        done = {d.what for k, d in enumerate(request.deeds) if (served.n, k) in book.done}
        for what in done:
            said[what] += 1
        known = _known(done, images.truth(request.image))
        if known is not None:
            said["labelled"] += 1
            said["right"] += served.live.label == known
            said["wrong"] += served.live.label not in (None, known)
    return said


def _known(done: set[script.What], truth: str) -> str | None:
    """What is known of a request by now: what its label says, until that is corrected."""
    if "wrong label" in done and "correction" not in done:
        return script.mistaken(truth)
    return truth if done & {"label", "wrong label"} else None


def compared(said: Mapping[str, int], figures: Figures) -> Sums:
    """Every figure that both sides can tell."""
    live, shadow = figures.of("live"), figures.of("shadow")
    labels = said["label"] + said["wrong label"] + said["correction"]
    declared = live["declared_missing"]
    return Sums(
        (
            Row("answers that were acted on", said["served"], live["answered"], is_sent=True),
            Row("answers in the shadow", said["shadows"], shadow["answered"], is_sent=True),
            Row("   errors: the image came too late", said["errors"],
                live["errors"] + shadow["errors"]),
            Row("   pairs that disagree", said["disagreed"], shadow["disagreed"]),
            Row("labels", labels, figures.rows["label"] - declared, is_sent=True),
            Row("   requests that have one", said["labelled"], live["labelled"]),
            Row("   acted on rightly", said["right"], live["right"]),
            Row("   acted on wrongly", said["wrong"], live["wrong"]),
            Row("truths declared missing", said["lost"], declared, is_sent=True),
            Row("complaints of customers", said["complaint"], figures.complaints, is_sent=True),
            Row("broken events of a stranger, kept apart", said["stranger"],
                figures.rejected, is_sent=True),
        )
    )  # fmt: skip


class Misread(msgspec.Struct):
    """How a version read parcels whose digit is known by now."""

    known: int = 0
    wrong: int = 0
    of: Counter[str] = msgspec.field(default_factory=Counter)  # by true digit: how many
    misses: Counter[str] = msgspec.field(default_factory=Counter)  # by true digit
    false_alarms: Counter[str] = msgspec.field(default_factory=Counter)  # by what was read

    def add(self, truth: str, read: str) -> None:
        self.known += 1
        self.of[truth] += 1
        if read != truth:
            self.wrong += 1
            self.misses[truth] += 1
            self.false_alarms[read] += 1

    def per_day(self, count: int, parcels: float) -> float:
        return parcels * count / self.known if self.known else 0.0


def readings(book: Book, images: Images, seed: int) -> dict[str, Misread]:
    """By version: what it answered, acted on or not, held against the truths that came."""
    found: dict[str, Misread] = {}
    for served in book.served:
        request = script.request(seed, served.n)
        done = {d.what for k, d in enumerate(request.deeds) if (served.n, k) in book.done}
        known = _known(done, images.truth(request.image))
        for answer in served.answers:
            if known is not None and answer.label is not None:
                found.setdefault(answer.version, Misread()).add(known, answer.label)
    return found


def change(found: Mapping[str, Misread], story: Story, *, before: str, after: str) -> Iterator[str]:
    """Misses and false alarms a day: of who answered before, who answers now, and who else."""
    parcels = story.parcels_per_day
    versions = list(dict.fromkeys((before, after, *sorted(found))))
    names = {after: f"{after} (now)", before: f"{before} (before)"}
    yield f"of {parcels:,.0f} parcels a day, missed and falsely alarmed:"
    yield f"{'':<10}" + "".join(f"{names.get(v, v):>20}" for v in versions)
    for digit in map(str, range(10)):
        cells = (
            f"{found[v].per_day(found[v].misses[digit], parcels):>12,.0f}"
            f"{found[v].per_day(found[v].false_alarms[digit], parcels):>8,.0f}"
            for v in versions
        )
        yield f"{'digit ' + digit:<10}" + "".join(cells)
    total = (found[v].per_day(found[v].wrong, parcels) for v in versions)
    share = (found[v].per_day(found[v].wrong, 1000) for v in versions)
    yield f"{'wrong':<10}" + "".join(f"{each:>20,.0f}" for each in total)
    yield f"{'of 1,000':<10}" + "".join(f"{each:>20.1f}" for each in share)


def cost(found: Mapping[str, Misread], acted: Mapping[str, int], story: Story) -> Iterator[str]:
    """What it took that challengers were acted on."""
    champion = found[script.CHAMPION].per_day(found[script.CHAMPION].wrong, 1)
    for version in (each for each in story.challengers if acted.get(each)):
        more = acted[version] * (found[version].per_day(found[version].wrong, 1) - champion)
        yield (
            f"{version} was acted on for {acted[version]:,} parcels: about {abs(more):,.0f}"
            f" {'more' if more > 0 else 'fewer'} misread than by {script.CHAMPION}"
        )


def by_whom(served: Sequence[Served]) -> Counter[str]:
    """How many parcels each version was responsible for."""
    return Counter(each.live.version for each in served)
