"""What Penstock counted, read the way its own commands read it."""

from collections import Counter, defaultdict
from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection

from penstock import status
from penstock.demo import script
from penstock.installation import Installation
from rollout import kept, store
from rollout.cells import EVERYWHERE
from rollout.decisions import verified
from rollout.judge import recompute
from rollout.tested import counted
from streams import counters, deadletters, ledger, panel
from streams.codes import Codes
from streams.counters import Ints
from streams.db.engine import reading
from streams.errors import InputError, UnavailableError
from streams.pipe import CELLS

LETTERS = 500
Cells = Mapping[str, int]
Series = tuple[str, str]  # version and role


class Figures(msgspec.Struct, frozen=True):
    """One look at the counters."""

    waiting: int | None  # records in the log that it has not; None while the server is away
    answers: Mapping[Series, Cells]  # of every minute; they follow corrections
    rows: Mapping[str, int]  # of the ledger, by table
    repeats: int
    complaints: int
    rejected: int  # distinct broken events

    @property
    def counted(self) -> int:
        """Distinct events that are in the ledger or kept as dead letters."""
        rows = self.rows["answer"] + self.rows["label"]
        return rows + self.complaints + self.rejected

    def of(self, role: str) -> Cells:
        """Over all versions."""
        found: Counter[str] = Counter()
        for (_, answered_as), cells in self.answers.items():
            if answered_as == role:
                found.update(cells)
        return found


class Looker:
    """Looks again and again; remembers the dead letters that it has seen, and its last look."""

    def __init__(self, here: Installation) -> None:
        self._here = here
        self._letter_id = 0
        self._letters: set[bytes] = set()  # what was sent: it may have been sent twice
        self._last: Figures | None = None

    def look(self) -> Figures:
        """The figures as they are now, all of one instant but for `waiting`.

        While the database is away they are those of the last look, with nobody to ask what waits.
        """
        try:
            self._last = self._look()
        except UnavailableError:
            if self._last is None:
                raise
            self._last = msgspec.structs.replace(self._last, waiting=None)
        return self._last

    def _look(self) -> Figures:
        model_no = Codes(self._here.engine).of("model")[script.MODEL]
        with reading(self._here.engine) as connection:
            self._read_letters(connection)
            return Figures(
                waiting=self._waiting(),
                answers=_answers(connection),
                rows=ledger.size(connection),
                repeats=_sum(connection, f"intake/duplicate/{model_no}", ("events",))["events"],
                complaints=_sum(connection, f"reported/{model_no}", ("events",))["events"],
                rejected=len(self._letters),
            )

    def _waiting(self) -> int | None:
        seen = status.pipe(self._here.settings)
        return None if seen is None else sum(seen["lag_records"].values())

    def _read_letters(self, connection: Connection) -> None:
        while page := deadletters.page(connection, after_id=self._letter_id, limit=LETTERS):
            self._letters.update(letter.raw for letter in page)
            self._letter_id = page[-1].id


def _answers(connection: Connection) -> dict[Series, Cells]:
    """By version and role, over arms."""
    now: dict[Series, Counter[str]] = defaultdict(Counter)
    for row in panel.rows(connection, model=script.MODEL):
        now[row.version, row.role].update({name: getattr(row, name) for name in CELLS})
    return dict(now)


def labels_used(connection: Connection, rollout: str) -> int:
    """Labels in the newest look by which evidence decided: those of both answers, or of one."""
    looks = [each.record.look for each in kept.cited(connection, rollout)]
    if not looks:
        return 0
    by_metric: Counter[str] = Counter()
    for epoch in looks[-1].epochs:
        for no, metric in enumerate(epoch.metrics):
            if metric.label_source is not None:
                cells = counted(epoch, metric, looks[-1].vector(epoch.what(no, EVERYWHERE)))
                by_metric[metric.name] += int(cells[:, 1:].sum())
    return max(by_metric.values(), default=0)


def recomputed(connection: Connection, rollout: str) -> int:
    """How many looks stand behind its decisions; each gives the same verdicts again.

    Raises InputError for a decision that was changed, and for verdicts that are others.
    """
    verified(store.log(connection, rollout))
    looks = kept.cited(connection, rollout)
    for look in looks:
        if recompute(look.record) != look.record:
            raise InputError(f"decision {look.seq} of {rollout} stands on other verdicts")
    return len(looks)


def _named(names: tuple[str, ...], cells: Ints) -> dict[str, int]:
    return dict(zip(names, cells.tolist(), strict=False))


def _sum(connection: Connection, what: str, names: tuple[str, ...]) -> Cells:
    """Over everything that is called so, or so and more."""
    summed: Counter[str] = Counter()
    for (found, _), cells in counters.panes(connection, what).items():
        if f"{found}/".startswith(f"{what}/"):
            summed.update(_named(names, cells))
    return summed
