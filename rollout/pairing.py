"""Two answers to one request: when a pair is complete, and which labels tell of it."""

import msgspec
import numpy as np
import numpy.typing as npt

from rollout.counted import Counted
from rollout.epoch_index import Epoch
from rollout.losses import disagree, sampled, strata
from rollout.standing import Standing
from streams.facts import Facts

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Pairs(msgspec.Struct):
    """Rows of pairs: the challenger's, the champion's, the live one of the two; and of which fact
    or watermark each comes.
    """

    challenger: Ints
    champion: Ints
    live: Ints
    of: Ints

    def where(self, kept: Bools) -> "Pairs":
        return Pairs(self.challenger[kept], self.champion[kept], self.live[kept], self.of[kept])


def complete_ms(facts: Facts, pairs: Pairs) -> Ints:
    """When the later answer of each pair was given."""
    times = facts.answers.ints("event_ms")
    return np.maximum(times[pairs.challenger], times[pairs.champion])


def sided(standing: Standing, row: Ints, live: Ints, of: Ints) -> Pairs:
    """The pairs of champion and challenger among (row, live row)."""
    kept = standing.pairs(row, live)
    row, live, of = row[kept], live[kept], of[kept]
    is_shadowed = standing.version[live] == 0
    return Pairs(np.where(is_shadowed, row, live), np.where(is_shadowed, live, row), live, of)


def strata_of(
    facts: Facts, epoch: Epoch, standing: Standing, metric: Counted, pairs: Pairs
) -> tuple[Ints, Bools]:
    """(group of each pair, whether it is one of those that are looked at)."""
    answers, opened = facts.answers, epoch.opened
    differ = disagree(answers, pairs.challenger, pairs.champion)
    stratum = strata(opened, metric, answers.ints("slices")[pairs.live], differ)
    pids = answers.column("pid16")
    looked = sampled(opened, metric, [pids[k] for k in pairs.live.tolist()], stratum)
    return (standing.version[pairs.challenger] - 1) * len(metric.q) + stratum, looked


def labelled(facts: Facts, standing: Standing, at: Ints) -> Pairs:
    """The pairs that these labels tell of; `of` says which label.

    A label is told of each row of its request. The one about whichever row of a pair came later
    tells of the pair: when the earlier was labelled there was none, and the later is told all that
    was known when it came.
    """
    later = _later(facts, standing, at)
    rows = facts.labelled.row
    found = [(*pair, k) for k in at.tolist() for pair in later.get(int(rows[k]), ())]
    columns = np.array(found, np.int64).reshape(-1, 3)
    return sided(standing, columns[:, 0], columns[:, 1], columns[:, 2])


def _later(facts: Facts, standing: Standing, at: Ints) -> dict[int, list[tuple[int, int]]]:
    """The pairs (row, live row) of each row that was the later of the two."""
    answers = facts.answers
    accepted = set(facts.answered.row.tolist())
    days, pids, models = (answers.column(name) for name in ("day", "pid16", "model_no"))
    wanted = {(days[k], pids[k], models[k]) for k in facts.labelled.row[at].tolist()}
    requests: dict[tuple[int, bytes, int], list[int]] = {}
    for k, key in enumerate(zip(days, pids, models, strict=True)):
        if key in wanted and (k >= answers.fresh or k in accepted):
            requests.setdefault(key, []).append(k)
    offsets, places = answers.ints("log_offset"), answers.ints("idx")
    found: dict[int, list[tuple[int, int]]] = {}
    for rows in requests.values():
        for live in (k for k in rows if standing.live[k]):
            for row in (k for k in rows if standing.shadow[k]):
                later = max(row, live, key=lambda k: (offsets[k], places[k]))
                found.setdefault(later, []).append((row, live))
    return found
