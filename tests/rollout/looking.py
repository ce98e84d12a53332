"""Looks whose counts a test writes itself; judge and store are the real ones."""

from sqlalchemy import Engine

from rollout import kept
from rollout.cells import EVERYWHERE, SPLIT
from rollout.judge import judge
from rollout.kept import Kept
from rollout.looks import Look, digest, look_at
from streams.db.engine import writing

BEGINS = b"""
apiVersion: penstock/v1
kind: ModelRollout
metadata: {name: spam-42}
spec:
  model: spam
  route: default
  champion: {version: "41"}
  challengers: [{version: "42"}]
  assignment: {unit: request}
  metrics:
    - {name: errors, from: prediction, stat: rate, margin: {absolute: 0.1}}
  guardrails: [errors]
"""
SPEC = (
    BEGINS
    + b"""\
  judge: {plannedUnits: 1500}
  blindAfter: 3h
  stages:
    - canary: {weights: [20, 50], dwell: 30m, require: guardrails, min: {units: 200}, deadline: 4d}
    - approval: {count: 1, from: [oncall], deadline: 2d}
    - full: {probation: 2h}
"""
)
NAME = "spam-42"


def seen(engine: Engine, *, of: int, errors: tuple[int, int], at_ms: int, name: str = NAME) -> Kept:
    """The newest look: of the first metric `of` units in each arm, so many of them in error."""
    with writing(engine) as connection:
        before = kept.newest(connection, name)
        epochs = look_at(connection, name, peaks={}).epochs
        newest = epochs[-1]
        share = newest.challengers[0].share
        units = [round(of * (1 - share)), round(of * share)]
        half = units[0] // 2
        groups = [
            (half, errors[0] // 2),
            (units[0] - half, errors[0] - errors[0] // 2),
            (units[1], errors[1]),
        ]
        cells = tuple(n for n_all, bad in groups for n in (n_all, n_all - bad, bad))
        totals = {
            newest.what(0, EVERYWHERE): cells,
            newest.split: (*[0] * len(SPLIT), *units),
        }
        look = Look(epochs=epochs, totals=totals, peaks=before.record.peaks if before else {})
        found = Kept(
            seq=kept.NEWEST, at_ms=at_ms, digest=digest(look), fresh_ms=at_ms, record=judge(look)
        )
        kept.replace(connection, name, before, found)
    return found
