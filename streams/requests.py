"""Requests that need a closer look: pairs, labels, repeats and orphans, one by one in log order.

The state is the union of the ledger's rows and this batch's, so it cannot matter where one batch
ends and the next begins. What labels say about a request is a function of the *set* of its labels
(`facts.winner`); an event's fact is the difference of that function with and without it.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from streams import ledger
from streams.answer_rows import AnswerRow, Answers
from streams.answers import Keyed
from streams.arrivals import Arrivals
from streams.codes import Codes
from streams.db.bulk import parts
from streams.events import Fault, Feedback
from streams.facts import CONFLICT, LIVE, PROPOSED, Naming, Truth
from streams.truths import Said, waited

SAME_SCORE = 1e-4  # repeated answers may differ by this much and still be the same
MAX_HOPS = 2
MAX_MEMBERS = 1_000  # requests of one join key, and labels of one request or join key: past that
MAX_LABELS = 1_000  # the key says nothing ("unknown"), and must not slow down everybody else

Says = dict[tuple[bytes, int], tuple[Truth, ...]]  # (request, source) -> its labels


class Forward(msgspec.Struct, frozen=True):
    """An event whose request lives in another partition."""

    at: int
    partition: int


class Relabelled(NamedTuple):
    """The labels of one source about one row changed."""

    row: int
    source_no: int
    at: int  # index among the arrivals
    before: tuple[Truth, ...]
    after: tuple[Truth, ...]


class Requests:
    """The requests of a batch that need a closer look, and what comes of them."""

    def __init__(
        self,
        arrivals: Arrivals,
        keyed: Keyed,
        stored: ledger.Stored,
        codes: Codes,
        naming: Naming,
        confirmed: set[tuple[bytes, int]],
        seen_ms: int,
    ) -> None:
        self._arrivals = arrivals
        self._keyed = keyed
        self._stored = stored
        self._codes = codes
        self._naming = naming
        self._confirmed = confirmed
        self._seen_ms = seen_ms
        self._rows: dict[bytes, list[int]] = {}  # request -> row numbers, by position
        self._row: dict[int, AnswerRow] = {}
        self.known: list[AnswerRow] = []  # ledger rows that facts speak of
        self.accepted: list[int] = []
        self.pairs: list[tuple[int, int, int]] = []  # (row, live row, arrival)
        self.relabelled: list[Relabelled] = []
        self.noted: list[tuple[str, int]] = []
        self.forwards: list[Forward] = []
        self.faults: dict[int, Fault] = {}
        self.added = ledger.Added(Answers.of([]), [], [], [], [], [], [], [])

    def replay(self, single: set[int], labels: list[Said]) -> None:
        """Every event that is not single, in log order."""
        steps: list[tuple[int, int, Said | None]] = [
            (at, k, None) for k, at in enumerate(self._keyed.at) if k not in single
        ]
        steps += [(said.at, -1, said) for said in labels]
        steps.sort(key=lambda step: step[0])
        for at, k, said in steps:
            if said is None:
                self._answer(at, k)
            else:
                self._label(said)

    # --- answers

    def _answer(self, at: int, k: int) -> None:
        key, row = self._keyed.keys[k], self._keyed.answers.row(k)
        rows = self._rows_of(key)
        # A request joins one group, that of its first answer, and a group lives in one partition.
        group = self._stored.groups.get(key, key) if rows else self._keyed.groups[k]
        if group != key and self._is_full(group, key):
            self._note("unjoined", at)
            group = key
        standing = rows or self._group_rows(group)
        if standing and self._row[standing[0]].partition != row.partition:
            self._forward(at, self._row[standing[0]].partition)
            return
        same = next((r for r in rows if self._row[r].version_no == row.version_no), None)
        if same is not None:
            self._repeat(at, key, self._row[same], row)
            return
        stored = self._stored
        spoken_of = (
            group != key or key in stored.labels or key in stored.orphans or key in stored.members
        )
        before = self._standing(group) if spoken_of else {}
        live = next((r for r in rows if _is_live(self._row[r])), None)
        if row.role == LIVE and live is not None:
            row = self._keyed.answers.flag(k, CONFLICT)
            self._note("conflict", at)
        self._row[k] = row
        rows.append(k)
        self.accepted.append(k)
        if spoken_of:
            self.add_join(key, group)
            self._adopt(key, group)
        if row.role == LIVE and live is None:
            self.pairs += [(r, k, at) for r in rows if self._row[r].role != LIVE]
        elif row.role != LIVE and live is not None:
            self.pairs.append((k, live, at))
        if spoken_of:
            self._relabel(at, group, before, fresh=k)

    def _is_full(self, group: bytes, key: bytes) -> bool:
        """Whether a request that is not in the group finds no place in it any more."""
        members = self._stored.members.get(group, ())
        return len(members) >= MAX_MEMBERS and key not in members

    def _rows_of(self, key: bytes) -> list[int]:
        """Row numbers of a request; those of the ledger stand behind the batch's."""
        rows = self._rows.get(key)
        if rows is None:
            rows = self._rows[key] = []
            for row in self._stored.answers.get(key, ()):
                number = len(self._keyed.answers) + len(self.known)
                self.known.append(row)
                self._row[number] = row
                rows.append(number)
        return rows

    def _repeat(self, at: int, key: bytes, first: AnswerRow, again: AnswerRow) -> None:
        """The same version answered this request before: the first by position stands."""
        if not _same_answer(first, again):
            self._note("conflict", at)
            self.faults[at] = Fault(
                "conflict", "output", "this version answered this request before, differently"
            )
        elif first.role == PROPOSED and again.role == LIVE:
            if (key, first.version_no) in self._confirmed:
                self._note("duplicate", at)
                return
            self._confirmed.add((key, first.version_no))
            self._note("confirmed", at)
            self.added.confirmations.append(
                (*again[:3], again.version_no, *again[4:7], again.event_ms)
            )
        else:
            self._note("duplicate", at)

    def add_join(self, key: bytes, group: bytes) -> None:
        """The request is a member of the group, now and in the store."""
        if group == key:
            return
        members = self._stored.members.setdefault(group, [])
        if key not in members:
            members.append(key)
            self._stored.groups[key] = group
            day, pid16, model_no = parts(key)
            join_day, join16, _ = parts(group)
            self.added.joins.append((join16, join_day, model_no, day, pid16))

    # --- labels

    def _label(self, said: Said) -> None:
        by_join = bool(said.truth.by_join)
        group = said.key if by_join else self._stored.groups.get(said.key, said.key)
        rows = self._group_rows(group) if by_join else self._rows_of(said.key)
        if rows and self._row[rows[0]].partition != int(self._arrivals.partition[said.at]):
            self._forward(said.at, self._row[rows[0]].partition)
            return
        if self._is_repeat(said):
            return
        if len(self._stored.labels.get(said.key, ())) >= MAX_LABELS:
            self.faults[said.at] = Fault(
                "too_many_labels", "prediction_id", f"{MAX_LABELS} labels name this key already"
            )
            return
        if not rows:
            self._wait(said)
            return
        is_first = (
            not by_join
            and group == said.key
            and not (said.key in self._stored.labels or said.key in self._stored.members)
        )
        before = {} if is_first else self._standing(group)
        self._attach(said, self._place(said.at))
        if is_first:  # as `_relabel` says it, for a request that nothing else is said of
            truths = (said.truth,)
            self.relabelled += [Relabelled(r, said.source_no, said.at, (), truths) for r in rows]
        else:
            self._relabel(said.at, group, before)

    def _group_rows(self, group: bytes) -> list[int]:
        return [row for member in self._members(group) for row in self._rows_of(member)]

    def _is_repeat(self, said: Said) -> bool:
        """Whether this label was here before, attached or waiting; the first one stands."""
        for source_no, truth in self._stored.labels.get(said.key, ()):
            if source_no == said.source_no and truth.label_id8 == said.truth.label_id8:
                self._again(said, truth)
                return True
        for waiting in self._stored.orphans.get(said.key, ()):
            if (waiting.source_no, waiting.label_id8) == (said.source_no, said.truth.label_id8):
                self._again(said, waited(waiting, codes=self._codes).truth)
                return True
        return False

    def _again(self, said: Said, first: Truth) -> None:
        if first[:2] == said.truth[:2]:
            self._note("duplicate", said.at)
            return
        self._note("conflict", said.at)
        field = "feedback_id" if type(self._arrivals.events[said.at]) is Feedback else "label_id"
        self.faults[said.at] = Fault("conflict", field, "this id came before with another truth")

    def _wait(self, said: Said) -> None:
        at = said.at
        day, pid16, model_no = parts(said.key)
        orphan = ledger.Orphan(
            day, pid16, model_no, said.source_no, said.truth.label_id8, *self._place(at),
            int(self._arrivals.appended_ms[at]), self._seen_ms,
            self._arrivals.hops[at], self._arrivals.lines[at],
        )  # fmt: skip
        self._stored.orphans.setdefault(said.key, []).append(orphan)
        self.added.orphans.append(orphan)
        self._note("orphan", at)

    def _adopt(self, key: bytes, group: bytes) -> None:
        """Labels that waited for this request, or for its group, are attached."""
        for waiting_at in {key, group}:
            waiting = self._stored.orphans.get(waiting_at)
            if not waiting:
                continue
            left = []
            for orphan in waiting:
                said = waited(orphan, codes=self._codes)
                if waiting_at != (group if said.truth.by_join else key):
                    left.append(orphan)
                    continue
                self._attach(said, orphan[5:8])
                if orphan in self.added.orphans:
                    self.added.orphans.remove(orphan)
                else:
                    self.added.adopted.append(orphan)
            self._stored.orphans[waiting_at] = left

    def _attach(self, said: Said, place: tuple[Any, ...]) -> None:
        truth = said.truth
        self._stored.labels.setdefault(said.key, []).append((said.source_no, truth))
        identity = (*parts(said.key), said.source_no, truth.label_id8)
        self.added.labels.append(
            (*identity, truth.by_join, truth.label_code, truth.value, truth.observed_ms,
             truth.supersedes, truth.by_kind, *place)
        )  # fmt: skip
        if said.blob is not None:
            self.added.label_blobs.append((*identity, said.blob))

    def _members(self, group: bytes) -> list[bytes]:
        """The requests that carried this join key, with the one that has it as its id."""
        members = self._stored.members.get(group, [])
        is_own = self._stored.groups.get(group, group) == group
        return [*members, group] if is_own and self._rows_of(group) else members

    def _standing(self, group: bytes) -> Says:
        """What the labels known now say of each request of the group, by source."""
        members = self._members(group)
        says: Says = {}
        for member in members:
            for source_no, truth in self._stored.labels.get(member, ()):
                if not truth.by_join:
                    says[member, source_no] = (*says.get((member, source_no), ()), truth)
        for source_no, truth in self._stored.labels.get(group, ()):
            if truth.by_join:
                for member in self._chosen(group, members, truth):
                    says[member, source_no] = (*says.get((member, source_no), ()), truth)
        return says

    def _chosen(self, group: bytes, members: list[bytes], truth: Truth) -> Iterable[bytes]:
        """The requests of a group that a label by join key alone is about."""
        rule = self._naming.models[parts(group)[2]].at(truth.observed_ms).join
        if rule == "all" or not members:
            return members
        times = {
            member: (min(self._row[row].event_ms for row in self._rows_of(member)), member)
            for member in members
            if self._rows_of(member)
        }
        if rule == "first":
            return [min(times, key=times.__getitem__)]
        earlier = [member for member in times if times[member][0] <= truth.observed_ms]
        return [max(earlier, key=times.__getitem__)] if earlier else []

    def _relabel(
        self,
        at: int,
        group: bytes,
        before: Says,
        fresh: int | None = None,
    ) -> None:
        """A fact for each row of the group whose labels are others than `before`."""
        after = self._standing(group)
        for member, source_no in sorted(before.keys() | after.keys()):
            new = after.get((member, source_no), ())
            old = before.get((member, source_no), ())
            for row in self._rows_of(member):
                was = () if row == fresh else old
                if was != new:
                    self.relabelled.append(Relabelled(row, source_no, at, was, new))

    # --- what leaves

    def _place(self, at: int) -> tuple[int, int, int]:
        here = self._arrivals
        return int(here.partition[at]), int(here.offset[at]), int(here.index[at])

    def _note(self, what: str, at: int) -> None:
        self.noted.append((what, at))

    def _forward(self, at: int, partition: int) -> None:
        if self._arrivals.hops[at] >= MAX_HOPS:
            self.faults[at] = Fault("misrouted", "", f"sent on {MAX_HOPS} times and still astray")
            return
        self._note("misrouted", at)
        self.forwards.append(Forward(at, partition))


def _is_live(row: AnswerRow) -> bool:
    return row.role == LIVE and not row.flags & CONFLICT


def _same_answer(first: AnswerRow, again: AnswerRow) -> bool:
    if first.label_code != again.label_code:
        return False
    return _near(first.score, again.score) and _near(first.value, again.value)


def _near(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return abs(a - b) < SAME_SCORE
