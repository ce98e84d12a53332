"""S9: labels that come late. What has matured, and what may be said before it has.

A unit enters every exact statistic once, at the fixed age H, with the label that it has by then.
Before that, shares and differences of what happens to have arrived are biased whenever the delay
hangs on the outcome, so there is one early test and no early estimate.
"""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np

from evidence.domain import Floats, InputError, Ints, counts, open_unit
from evidence.results import Evidence, NotYet, Side
from evidence.risks import SPLIT, EventShare
from evidence.sequences import Epoch, log_e, log_e_both, units

CORRECTED_AT_MOST = 0.02  # of the labels; beyond, the metric does not say what was seen

ONE_LAW = "if neither arm is worse, outcome and delay have one joint law in both"
ONE_COVERAGE = "labels go missing equally often in both arms"


@dataclass(frozen=True, slots=True)
class Maturity:
    """How far the labels of some units have come; `a + b` is both, `Maturity()` is empty.

    Args:
        enrolled: units, of any age.
        labelled: units of age H or more that had a label at age H.
        missing: units of age H or more that had none; they count as the metric's declared value.
        late: labels that came after age H; no cell has them.
        corrected: labels that changed after age H; the cells keep the first.

    Raises:
        InputError: a negative count, or one that is no integer.

    >>> day = Maturity(enrolled=1000, labelled=720, missing=80, late=12, corrected=15)
    >>> day.matured, day.matured_share, day.labelled_share, (day + day).invalid
    (800, 0.8, 0.9, True)
    """

    enrolled: int = 0
    labelled: int = 0
    missing: int = 0
    late: int = 0
    corrected: int = 0

    def __post_init__(self) -> None:
        for each in fields(self):
            counts(each.name, getattr(self, each.name), ())

    def __add__(self, other: "Maturity") -> "Maturity":
        return Maturity(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def matured(self) -> int:
        """Units of age H or more; each is labelled or missing."""
        return self.labelled + self.missing

    @property
    def matured_share(self) -> float | None:
        return self.matured / self.enrolled if self.enrolled else None

    @property
    def labelled_share(self) -> float | None:
        """Share of the matured units that have a label."""
        return self.labelled / self.matured if self.matured else None

    @property
    def invalid(self) -> bool:
        """Whether more than 2 % of the labels were corrected afterwards."""
        return self.corrected > CORRECTED_AT_MOST * self.labelled


def arrival_test(
    epochs: Sequence[Epoch], maturity: Maturity, side: Side, *, alpha: float, guard_alpha: float
) -> Evidence | NotYet:
    """Early warning from the labels that have arrived: does one arm have more events?

    Where outcome and delay have one joint law, an event that has arrived is the challenger's with
    the probability of its assignment, even if bad news travels fast: S2 on the arrived events at
    ratio 1, exact under a look at any time. It is a test and nothing else: no level, no ratio.

    It is suppressed while delays differ by arm (a slow model has slow labels). At each frozen
    threshold, labels without the event that came faster, and those that came slower, are the
    challenger's with that same probability; E is the average of all these. Labels with the event
    are left out: bad news that travels fast would else suppress the very warning (harm thins the
    others too, but shows long before that does). So a delay that differs by arm for events alone
    cannot be told from harm: what is rejected is "one joint law".

    Args:
        epochs: `Epoch(EventShare(pi), cells)` each, oldest first: the labels arrived so far, shape
            (delays, 2, 2): between the frozen thresholds of delay, fastest first; without and with
            the event; champion's and challenger's.
        maturity: of the same units, for what is still to come.
        side: ABOVE says that the challenger has more events.
        alpha: level of the test.
        guard_alpha: level of the comparison of delays, its own account.

    Returns:
        Evidence without estimate, or `NotYet` when the delays differ: wait for age H.

    Raises:
        InputError: no epochs, counts of another shape, an alpha outside (0, 1).

    References:
        Lindon & Malek (2022), NeurIPS; Vovk & Wang (2021), Annals 49(3) (averages of e-values).

    >>> labels = [[[40, 42], [10, 30]], [[100, 98], [5, 15]]]  # within a day, within a week
    >>> half_way = Maturity(enrolled=1000, labelled=400)
    >>> test = [Epoch(EventShare(pi=0.5), labels)]
    >>> found = arrival_test(test, half_way, Side.ABOVE, alpha=0.05, guard_alpha=0.01)
    >>> found.n, found.rejects, found.estimate
    (60, True, None)
    """
    delays = max((len(np.atleast_1d(each.cells)) for each in epochs), default=0)
    if delays < 2:
        raise InputError("epochs", delays, "must count labels in at least two ranges of delay")
    arrived = _shares(epochs, (delays, 2, 2))
    plain = [Epoch(share, _parted(labels[:, 0])) for share, labels in arrived]
    if _average(log_e_both(plain, 1.0)) >= -math.log(open_unit("guard_alpha", guard_alpha)):
        why = "labels come faster in one arm than in the other: wait until every unit has age H"
        return NotYet(maturity.matured, maturity.enrolled, why)
    events = [Epoch(share, labels[:, 1].sum(axis=0)) for share, labels in arrived]
    found = float(log_e(events, 1.0, side))
    return _test(units(events), found, alpha, (SPLIT, "at most one event per unit", ONE_LAW))


def coverage_test(epochs: Sequence[Epoch], *, alpha: float) -> Evidence:
    """Whether labels go missing more often in one arm: then the metric is invalid.

        E = (E(missing) + E(labelled)) / 2,   each two-sided at ratio 1

    If both arms are covered alike, a unit without a label is the challenger's with the probability
    of its assignment, and so is a unit with one; whichever are fewer speak louder. Exact under a
    look at any time, whatever the coverage does meanwhile. Use alpha .001.

    Args:
        epochs: `Epoch(EventShare(pi), cells)` each, oldest first: units of age H or more, shape
            (2, 2): missing and labelled; champion's and challenger's.
        alpha: level of the test.

    Returns:
        Evidence without estimate.

    Raises:
        InputError: no epochs, counts of another shape, alpha outside (0, 1).

    References:
        Lindon & Malek (2022), NeurIPS; Vovk & Wang (2021), Annals 49(3) (averages of e-values).

    >>> cells = [[60, 140], [4940, 4860]]  # 1.2 % against 2.8 % missing
    >>> coverage_test([Epoch(EventShare(pi=0.5), cells)], alpha=0.001).rejects
    True
    """
    kinds = [Epoch(share, cells) for share, cells in _shares(epochs, (2, 2))]
    found = _average(log_e_both(kinds, 1.0))
    return _test(units(kinds), found, alpha, (SPLIT, ONE_COVERAGE))


def _shares(epochs: Sequence[Epoch], shape: tuple[int, ...]) -> list[tuple[EventShare, Ints]]:
    """Each epoch's statistic and its counts, of one `shape`."""
    found = []
    for each in epochs:
        if not isinstance(each.statistic, EventShare):
            raise InputError("epochs", type(each.statistic).__name__, "must be of EventShare")
        cells = counts("cells", each.cells, shape)
        if cells.shape != shape:
            raise InputError("cells", cells.shape, f"must have the shape {shape}")
        found.append((each.statistic, cells))
    return found


def _parted(labels: Ints) -> Ints:
    """Labels faster, then slower, than each threshold, (2 thresholds, 2); fewer speak louder."""
    faster = labels.cumsum(axis=0)[:-1]
    return np.concatenate([faster, labels.sum(axis=0) - faster])


def _average(logs: Floats) -> float:
    return float(np.logaddexp.reduce(logs)) - math.log(len(logs))


def _test(n: int, log_e: float, alpha: float, assumes: tuple[str, ...]) -> Evidence:
    """A test and nothing else: no estimate, and an interval that excludes nothing."""
    return Evidence(
        n=n,
        estimate=None,
        interval=EventShare.effects,
        log_e=log_e,
        alpha=open_unit("alpha", alpha),
        assumes=assumes,
    )
