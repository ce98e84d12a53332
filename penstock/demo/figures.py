"""What Penstock counted, read the way its own commands read it."""

from collections import Counter, defaultdict
from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection

from penstock import status
from penstock.demo import script
from penstock.installation import Installation
from streams import counters, deadletters, ledger, panel
from streams.codes import Codes
from streams.counters import Ints
from streams.db.engine import reading
from streams.errors import UnavailableError
from streams.facts import ROLE_NAMES
from streams.maturing import LATE_CELLS, MATURED_CELLS
from streams.pipe import ASSIGNED_CELLS, CELLS

LETTERS = 500
Cells = Mapping[str, int]
Series = tuple[str, str]  # version and role
NO_CELLS: Cells = defaultdict(int)


class Answers(msgspec.Struct, frozen=True):
    """What is counted of one version in one role."""

    now: Cells  # of every minute; follows corrections
    frozen: Cells  # of the minutes whose horizon has passed, for ever
    late: Cells  # what came too late to be frozen


class Figures(msgspec.Struct, frozen=True):
    """One look at the counters."""

    waiting: int | None  # records in the log that it has not; None while the server is away
    answers: Mapping[Series, Answers]
    assigned: Cells  # by the client, before the model ran
    rows: Mapping[str, int]  # of the ledger, by table
    repeats: int
    complaints: int
    rejected: Mapping[str, int]  # distinct broken events by code
    last_reject: str

    @property
    def counted(self) -> int:
        """Distinct events that are in the ledger or kept as dead letters."""
        rows = self.rows["answer"] + self.rows["label"]
        return rows + self.complaints + sum(self.rejected.values())

    def of(self, version: str, role: str) -> Answers:
        return self.answers.get((version, role), Answers(NO_CELLS, NO_CELLS, NO_CELLS))


class Looker:
    """Looks again and again; remembers the dead letters that it has seen, and its last look."""

    def __init__(self, here: Installation) -> None:
        self._here = here
        self._letter_id = 0
        self._letters: dict[bytes, str] = {}  # by what was sent: it may have been sent twice
        self._last_reject = ""
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
        codes = Codes(self._here.engine)
        model_no = codes.of("model")[script.MODEL]
        versions = {no: label for label, no in codes.of("version", model_no).items()}
        with reading(self._here.engine) as connection:
            self._read_letters(connection)
            return Figures(
                waiting=self._waiting(),
                answers=_answers(connection, model_no, versions),
                assigned=_sum(connection, f"assigned/{model_no}", ASSIGNED_CELLS),
                rows=ledger.size(connection),
                repeats=_sum(connection, f"intake/duplicate/{model_no}", ("events",))["events"],
                complaints=_sum(connection, f"reported/{model_no}", ("events",))["events"],
                rejected=Counter(self._letters.values()),
                last_reject=self._last_reject,
            )

    def _waiting(self) -> int | None:
        seen = status.pipe(self._here.settings)
        return None if seen is None else sum(seen["lag_records"].values())

    def _read_letters(self, connection: Connection) -> None:
        while page := deadletters.page(connection, after_id=self._letter_id, limit=LETTERS):
            for letter in page:
                self._letters[letter.raw] = letter.code
                place = f"{letter.field}: " if letter.field else ""
                self._last_reject = f"{place}{letter.detail} [{letter.code}]"
            self._letter_id = page[-1].id


def _answers(
    connection: Connection, model_no: int, versions: Mapping[int, str]
) -> dict[Series, Answers]:
    """By version and role, over arms."""
    now: dict[Series, Counter[str]] = defaultdict(Counter)
    for row in panel.rows(connection, model=script.MODEL):
        now[row.version, row.role].update({name: getattr(row, name) for name in CELLS})
    frozen: dict[Series, Counter[str]] = defaultdict(Counter)
    for what, cells in counters.totals(connection, f"matured/{model_no}/").items():
        frozen[_series(what, versions)].update(_named(MATURED_CELLS, cells))
    late: dict[Series, Counter[str]] = defaultdict(Counter)
    for (what, _), cells in counters.panes(connection, f"late/{model_no}/").items():
        late[_series(what, versions)].update(_named(LATE_CELLS, cells))
    return {key: Answers(now[key], frozen[key], late[key]) for key in now}


def _series(what: str, versions: Mapping[int, str]) -> Series:
    _, _, version, role, *_ = what.split("/")
    return versions[int(version)], ROLE_NAMES[int(role)]


def _named(names: tuple[str, ...], cells: Ints) -> dict[str, int]:
    return dict(zip(names, cells.tolist(), strict=False))


def _sum(connection: Connection, what: str, names: tuple[str, ...]) -> Cells:
    """Over everything that is called so, or so and more."""
    summed: Counter[str] = Counter()
    for (found, _), cells in counters.panes(connection, what).items():
        if f"{found}/".startswith(f"{what}/"):
            summed.update(_named(names, cells))
    return summed
