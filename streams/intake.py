"""The heart: `(what the store knows, what arrived) -> (facts, rows to add, what to send on)`.

Pure: no clock, no I/O. Most answers are the only event of their request; they pass in columns.
The rest - labels, repeats, orphans, pairs over batches - go one by one in log order through
`streams.requests`.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from streams import ledger
from streams.answers import Keyed
from streams.arrivals import Arrivals, DeadLetter, Ints
from streams.codes import Codes
from streams.facts import (
    LIVE,
    PROPOSED,
    Answered,
    Facts,
    Labelled,
    Naming,
    Noted,
    Paired,
    Proposed,
)
from streams.requests import Forward, Relabelled, Requests
from streams.truths import Said


class Folded(msgspec.Struct):
    """What one batch comes to."""

    facts: Facts
    added: ledger.Added
    forwards: list[Forward]
    dead: list[DeadLetter]


def needed(keyed: Keyed, labels: list[Said]) -> tuple[set[bytes], set[bytes]]:
    """What `ledger.probe` has to look up: request keys, and groups."""
    keys = {said.key for said in labels if not said.truth.by_join}.union(keyed.keys)
    groups = {said.key for said in labels if said.truth.by_join}
    groups.update(g for k, g in zip(keyed.keys, keyed.groups, strict=True) if g is not k)
    return keys, groups


def fold(
    arrivals: Arrivals,
    keyed: Keyed,
    labels: list[Said],
    stored: ledger.Stored,
    watermarks: Ints,
    *,
    codes: Codes,
    naming: Naming,
    confirmed: set[tuple[bytes, int]],
    seen_ms: int,
) -> Folded:
    """Facts and rows of a batch.

    Args:
        watermarks: what each arrival met, shape (arrivals,).
        naming: declarations and names of every model in the batch.
        confirmed: answers that are confirmed already.
        seen_ms: the wall clock, for orphans to be probed again soon.
    """
    requests = Requests(arrivals, keyed, stored, codes, naming, confirmed, seen_ms)
    plain = _plain(keyed, labels, stored)
    requests.pairs += [(row, live, keyed.at[max(row, live)]) for row, live in plain.pairs]
    if len(plain.rows) < len(keyed.keys) or labels:
        requests.replay(set(plain.rows), labels)
    accepted = sorted(plain.rows + requests.accepted)
    for k in plain.rows:
        if keyed.groups[k] is not keyed.keys[k]:
            requests.add_join(keyed.keys[k], keyed.groups[k])
    return _folded(arrivals, keyed, accepted, requests, watermarks, naming, codes.of("model"))


class _Plain(msgspec.Struct):
    """Answers that need no closer look: alone in their request, or two that make a pair."""

    rows: list[int]
    pairs: list[tuple[int, int]]  # (row, live row)


def _plain(keyed: Keyed, labels: list[Said], stored: ledger.Stored) -> _Plain:
    """What nothing else in the store or the batch speaks of."""
    touched = {said.key for said in labels}
    touched.update(stored.answers, stored.labels, stored.orphans, stored.members, stored.groups)
    first: dict[bytes, int] = {}
    second: dict[bytes, tuple[int, int]] = {}
    joined: set[bytes] = set()
    for k, (key, group) in enumerate(zip(keyed.keys, keyed.groups, strict=True)):
        earlier = first.setdefault(key, k)
        if earlier != k:
            if key in second:
                touched.add(key)
            second[key] = (earlier, k)
        if group is not key:
            if group in joined:
                touched.add(group)
            joined.add(group)
    touched.update(group for group in joined if group in first)
    pairs = _pairs(keyed, second, touched)
    rows = [
        k
        for k, (key, group) in enumerate(zip(keyed.keys, keyed.groups, strict=True))
        if key not in touched and group not in touched
    ]
    return _Plain(rows, pairs)


def _pairs(
    keyed: Keyed, second: dict[bytes, tuple[int, int]], touched: set[bytes]
) -> list[tuple[int, int]]:
    """Twos of one partition, different versions and at most one live; others are `touched`."""
    names = ("partition", "version_no", "role")
    partitions, versions, roles = (keyed.answers.column(name) for name in names)
    pairs = []
    for key, (a, b) in second.items():
        if key in touched:
            continue
        live_a, live_b = roles[a] == LIVE, roles[b] == LIVE
        if (
            partitions[a] != partitions[b]
            or versions[a] == versions[b]
            or (live_a and live_b)
            or keyed.groups[a] is not keyed.keys[a]
            or keyed.groups[b] is not keyed.keys[b]
        ):
            touched.add(key)
        elif live_a or live_b:
            pairs.append((b, a) if live_a else (a, b))
    return pairs


def _folded(
    arrivals: Arrivals,
    keyed: Keyed,
    accepted: list[int],
    requests: Requests,
    watermarks: Ints,
    naming: Naming,
    model_nos: Mapping[str, int],
) -> Folded:
    added = requests.added
    kept = set(accepted)
    added.answer_blobs = [
        (*row[:4], blob)
        for k, blob in keyed.blobs.items()
        if k in kept
        for row in [keyed.answers.row(k)]
    ]
    at = np.array(keyed.at, np.int64)
    rows = np.array(accepted, np.int64)
    added.answers = keyed.answers.taken(rows)
    facts = Facts(
        naming=naming,
        answers=keyed.answers.with_stored(requests.known),
        answered=Answered(rows, watermarks[at[rows]] if len(rows) else rows),
        paired=_paired(requests.pairs, watermarks),
        labelled=_labelled(requests.relabelled, watermarks),
        reported=[],
        assigned=[],
        noted=_noted(arrivals, requests.noted, model_nos),
        rejected=[],
        points=keyed.points,
        proposed=_proposed(arrivals, keyed, rows),
    )
    dead = [arrivals.letter(k, fault) for k, fault in requests.faults.items()]
    return Folded(facts, added, requests.forwards, dead)


def _paired(pairs: list[tuple[int, int, int]], watermarks: Ints) -> Paired:
    columns = np.array(pairs, np.int64).reshape(-1, 3)
    return Paired(columns[:, 0], columns[:, 1], watermarks[columns[:, 2]])


def _labelled(relabelled: Sequence[Relabelled], watermarks: Ints) -> Labelled:
    columns = np.array([fact[:3] for fact in relabelled], np.int64).reshape(-1, 3)
    return Labelled(
        columns[:, 0],
        columns[:, 1],
        watermarks[columns[:, 2]],
        [fact.before for fact in relabelled],
        [fact.after for fact in relabelled],
    )


def _proposed(arrivals: Arrivals, keyed: Keyed, rows: Ints) -> list[Proposed]:
    """Those of the new rows that wait for a person, in log order."""
    waits = rows[keyed.answers.ints("role")[rows] == PROPOSED].tolist() if len(rows) else []
    events = arrivals.predictions if waits else []
    return [
        Proposed(
            k, events[k].prediction_id, int(arrivals.appended_ms[keyed.at[k]]),
            arrivals.lines[keyed.at[k]],
        )
        for k in waits
    ]  # fmt: skip


def _noted(
    arrivals: Arrivals, noted: list[tuple[str, int]], model_nos: Mapping[str, int]
) -> list[Noted]:
    return [
        Noted(
            what,
            model_nos[arrivals.events[at].model],
            int(arrivals.partition[at]),
            int(arrivals.appended_ms[at]),
        )
        for what, at in noted
    ]
