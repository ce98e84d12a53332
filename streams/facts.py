"""What one pass found out, in columns: the only thing collectors see.

`Answers` holds rows; the facts point into it. Rows 0..answers.fresh are new in this batch, those
behind them were in the ledger and are there because a fact speaks of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from streams.answer_rows import Answers
from streams.models import Declaration
from streams.plans import Revisions

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Label codes below 1 are no class of a model.
NONE = 0  # no answer or no truth: an error, a retraction, nothing yet
MISSING = -1  # declared missing
VALUE = -2  # the truth or answer is `value`
BLOB = -3  # the truth or answer is boxes or text, in the blob table
OTHER = -4  # a class past the model's cap

LIVE, SHADOW, PROPOSED = 0, 1, 2
ROLES = {"live": LIVE, "shadow": SHADOW, "proposed": PROPOSED}
ROLE_NAMES = tuple(ROLES)
BY_KINDS = {"human": 0, "outcome": 1, "llm": 2, "code": 3}

ERROR, SKEWED, CONFLICT, UNKNOWN_ROUTE = 1, 2, 4, 8  # flags of an answer


class Truth(NamedTuple):
    """One label of one source about one request."""

    label_code: int
    value: float | None
    observed_ms: int
    supersedes: int
    label_id8: bytes
    by_kind: int
    by_join: int

    @property
    def rank(self) -> tuple[bool, int, int, bytes]:
        """Who wins among a request's labels of one source: the largest, whatever the order.

        A declared absence never beats a label; one that supersedes beats one that does not.
        """
        return (self.label_code != MISSING, self.supersedes, self.observed_ms, self.label_id8)


def winner(truths: Iterable[Truth]) -> Truth | None:
    """The label that holds; None when there is none or the winner is a retraction."""
    best = max(truths, key=lambda truth: truth.rank, default=None)
    return None if best is None or best.label_code == NONE else best


def _code(truths: Sequence[Truth]) -> int:
    if len(truths) == 1:
        return truths[0].label_code
    best = winner(truths)
    return NONE if best is None else best.label_code


class Answered(msgspec.Struct):
    """New rows, with the watermark before each."""

    row: Ints
    watermark_ms: Ints


class Paired(msgspec.Struct):
    """A row that is not live beside the live row of the same request, once both are there."""

    row: Ints
    live: Ints
    watermark_ms: Ints


class Labelled(msgspec.Struct):
    """The labels of one source about one row changed from `before` to `after`."""

    row: Ints
    source_no: Ints
    watermark_ms: Ints
    before: list[tuple[Truth, ...]]
    after: list[tuple[Truth, ...]]

    def codes(self) -> tuple[Ints, Ints]:
        """The winners' codes before and after, NONE where there is none."""
        return self._codes(self.before), self._codes(self.after)

    def codes_by(self, cutoff_ms: Ints) -> tuple[Ints, Ints]:
        """The same, of the labels observed up to each cutoff."""
        return self._codes_by(self.before, cutoff_ms), self._codes_by(self.after, cutoff_ms)

    @staticmethod
    def _codes(sets: list[tuple[Truth, ...]]) -> Ints:
        return np.fromiter((_code(s) if s else NONE for s in sets), np.int64, len(sets))

    @staticmethod
    def _codes_by(sets: list[tuple[Truth, ...]], cutoff_ms: Ints) -> Ints:
        return np.fromiter(
            (
                _code([t for t in s if t.observed_ms <= cutoff]) if s else NONE
                for s, cutoff in zip(sets, cutoff_ms.tolist(), strict=True)
            ),
            np.int64,
            len(sets),
        )


class Reported(NamedTuple):
    """Feedback about a unit on a route, counted (+1) or taken back (-1)."""

    model_no: int
    route_no: int
    name_no: int
    unit8: int
    value: float | None
    label_code: int
    event_ms: int
    partition: int
    watermark_ms: int
    sign: int


class AssignedCounts(NamedTuple):
    """What one client process added to its counts of a minute, version of a route, and arm."""

    model_no: int
    route_no: int
    route_version: int
    arm_no: int
    minute_ms: int
    partition: int
    watermark_ms: int
    assigned: int
    answered: int
    dropped: int


class Proposed(NamedTuple):
    """A new row that waits for a person, with the event as it was sent."""

    row: int
    prediction_id: str
    appended_ms: int
    line: bytes


class Noted(NamedTuple):
    """An event that changed nothing but this counter: duplicate, conflict, misrouted, ..."""

    what: str
    model_no: int
    partition: int
    appended_ms: int


class Naming(msgspec.Struct, frozen=True):
    """What the numbers in the rows stand for, as far as collectors need it."""

    models: Mapping[int, Revisions]  # declarations by model number
    sources: Mapping[int, str]  # label sources by number
    labels: Mapping[int, Mapping[str, int]]  # label codes by model number

    def positive_code(self, model_no: int, declaration: Declaration) -> int | None:
        """The code of a binary model's positive class."""
        if not declaration.binary:
            return None
        return self.labels[model_no].get(declaration.positive_class)


class Facts(msgspec.Struct):
    """Everything one pass found out."""

    naming: Naming
    answers: Answers
    answered: Answered
    paired: Paired
    labelled: Labelled
    reported: list[Reported]
    assigned: list[AssignedCounts]
    noted: list[Noted]
    rejected: list[tuple[str, int, int]]  # (code, partition, appended_ms) of each dead letter
    points: Floats  # of each new row: where its unit stands on the lanes, NaN where none is drawn
    proposed: list[Proposed]


def pane_of(times_ms: Ints, width_ms: int | Ints) -> Ints:
    """The start of the pane each time falls into."""
    panes: Ints = times_ms - times_ms % width_ms
    return panes
