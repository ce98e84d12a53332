"""Who an answer's row stands for in an epoch: a function of the row and the epoch alone.

Where people confirm, a challenger's arm is known by what was proposed, whatever they said of it;
what is answered instead is evidence of neither.
"""

import uuid

import numpy as np
import numpy.typing as npt

from rollout.cells import point
from rollout.counted import HALVES
from rollout.epoch_index import Epoch
from streams.answer_rows import Answers
from streams.facts import CONFLICT, ERROR, LIVE, PROPOSED, SHADOW
from streams.hashing import assignment_point

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class Standing:
    """The rows of a batch as one epoch sees them.

    Args:
        named: rows that belong to the epoch by route version or time.

    Attributes:
        mine: rows of requests that began before the epoch closed.
        live, shadow: what the answer was; a live one that conflicts with an earlier is neither.
        proposed: answers of challengers that wait for a person, where one is asked.
        instead: live answers of the champion, or of people, to what a challenger was to answer.
        version: 0 the champion's, k the k-th challenger's, -1 another's.
        in_pairs: live rows that may be one side of a pair.
        arm: the same of the arm, -1 for an answer that is astray.
        astray: answers of arms that name no arm, another's version, or not the arm that their id
            or unit draws. Evidence against the split.
        stale, conflicts, unchecked: answers of arms by route version that are evidence of nothing,
            or whose arm cannot be drawn again.
    """

    def __init__(self, answers: Answers, epoch: Epoch, named: Bools, points: Floats) -> None:
        self._answers, self._opened = answers, epoch.opened
        self._points = points
        role, flags = answers.ints("role"), answers.ints("flags")
        by_route = answers.ints("epoch") > 0
        self.mine = named & (answers.ints("event_ms") < epoch.closes_ms)
        self.live = (role == LIVE) & (flags & CONFLICT == 0)
        self.shadow = role == SHADOW
        self.version = _index(answers.ints("version_no"), epoch.versions)
        is_asked = epoch.opened.confirm_ms > 0
        self.proposed = (role == PROPOSED) & (self.version > 0) & is_asked
        arm = _index(answers.ints("arm_no"), epoch.arms) if self._opened.checks else self.version
        self.instead = self.live & (self.version <= 0) & (arm > 0) & is_asked
        given = (self.live & ~self.instead) | self.proposed
        wanted = self.mine & given & by_route
        self.stale = named & ~self.mine & given & by_route
        self.conflicts = self.mine & (role == LIVE) & (flags & CONFLICT > 0) & by_route
        self.astray = wanted & ((arm < 0) | (arm != self.version))
        # Pairs need no lane, and of a stored row a unit's lane cannot be told.
        named_astray = self.astray.copy() if self._opened.sticky else self.astray
        self.unchecked = np.zeros(len(answers), bool)
        self._check_lanes(wanted & ~self.astray, arm)
        # What was done instead was chosen because of what was proposed.
        self.in_pairs = self.mine & self.live & ~self.instead & ~named_astray
        self.arm = np.where(self.astray, -1, arm)
        self._assigned = wanted & ~self.astray

    def _check_lanes(self, wanted: Bools, arm: Ints) -> None:
        """Rows whose id draws another arm than the one that they name are astray.

        Only a dated UUID can be read back from a row; others are unchecked. Where there is a
        scope, a champion's request may be outside of it, and only a challenger's has to draw it.
        """
        opened = self._opened
        if not opened.checks:
            return
        if opened.sticky:
            self._check_units(wanted[: len(self._points)], arm[: len(self._points)])
            return
        days, pids = self._answers.ints("day"), self._answers.column("pid16")
        for k in wanted.nonzero()[0].tolist():
            if not days[k]:
                self.unchecked[k] = True
                continue
            at = assignment_point(opened.salts.assignment, str(uuid.UUID(bytes=pids[k])))
            drawn = next((n for n, c in enumerate(opened.challengers, 1) if c.lo <= at < c.hi), 0)
            self.astray[k] = drawn != arm[k] and (opened.scope == () or arm[k] > 0)

    def _check_units(self, wanted: Bools, arm: Ints) -> None:
        """The same of sticky units; a request without one is the champion's.

        Only new answers know their unit's point. What a label says of an older one goes to the
        unit in the arm that this names, and counts if the unit was enrolled in that arm.
        """
        opened = self._opened
        drawn = np.zeros(len(wanted), np.int64)
        for n, challenger in enumerate(opened.challengers, 1):
            drawn[(challenger.lo <= self._points) & (self._points < challenger.hi)] = n
        strays = wanted & (drawn != arm)
        if opened.scope != ():
            strays &= arm > 0
        self.astray[: len(wanted)] = strays

    def asking(self, rows: Ints) -> Bools:
        """Which of these rows a person is asked about: nobody could confirm an error."""
        is_error = self._answers.ints("flags")[rows] & ERROR > 0
        found: Bools = self._assigned[rows] & self.proposed[rows] & ~is_error
        return found

    def eligible(self, rows: Ints) -> Bools:
        """Which of these new rows are of sticky units that no challenger had before."""
        points = self._points[rows]
        found: Bools = ~np.isnan(points)
        for lo, hi in self._opened.taken:
            found &= (points < lo) | (points >= hi)
        return found

    def units(self, rows: Ints) -> Bools:
        """Which of these rows are units of the arms: assigned by the epoch's table, in scope.

        Of sticky units, which are events of one.
        """
        scope = self._opened.scope
        if scope is None:
            return np.zeros(len(rows), bool)
        held: Bools = self._assigned[rows]
        if self._opened.sticky:
            units = self._answers.column("unit8")
            held = held & np.array([units[k] is not None for k in rows.tolist()], bool)
        if scope:
            slots = sum(1 << slot for slot in scope)
            held = held & (self._answers.ints("slices")[rows] & slots > 0)
        return held

    def groups(self, rows: Ints) -> Ints:
        """The group of each unit: a half of the champion by a salt of its own, or a challenger."""
        arm, pids = self.arm[rows], self._answers.column("pid16")
        found = arm + HALVES - 1
        salt = self._opened.salts.self_check
        for at in (arm == 0).nonzero()[0].tolist():
            found[at] = int(point(salt, pids[rows[at]]) * HALVES)
        return found

    def pairs(self, row: Ints, live: Ints) -> Bools:
        """Which of these are the champion and a challenger, one live and the other in shadow."""
        found: Bools = self.in_pairs[live] & self.shadow[row]
        one, other = self.version[row], self.version[live]
        found &= (one >= 0) & (other >= 0) & ((one == 0) != (other == 0))
        return found


def _index(values: Ints, names: tuple[int, ...]) -> Ints:
    """Where each value stands among `names`; -1 for none."""
    found = np.full(len(values), -1, np.int64)
    for k, name in enumerate(names):
        found[values == name] = k
    return found
