"""One unit, one value, in shadow: pairs of sticky accounts through the pass, the closer and the
judge."""

import json

import numpy as np
import pytest

from benchmarks.simulation import most
from evidence.decision import Verdict
from rollout.cells import Salts
from rollout.closer import UnitCloser
from rollout.collector import Rollouts
from rollout.epochs import Start, opened
from rollout.judge import judge
from rollout.looks import look_at
from rollout.opening import open_epoch
from rollout.spec import read
from streams.db.engine import reading, writing
from streams.models import Declaration
from streams.topics import EVENTS
from tests.streams import spine

pytestmark = pytest.mark.stats

RUNS, ACCOUNTS, PAIRS = 50, 150, 12
HOUR = 3_600_000
T0 = spine.T0 - spine.T0 % HOUR
CEILING = 0.15
MODEL = Declaration(
    model="spam", task="classification", classes=("ham", "spam"), pair_horizon="10m"
)


def epoch(unit):
    spec = read(
        f"""
apiVersion: penstock/v1
kind: ModelRollout
metadata: {{name: r1}}
spec:
  model: spam
  route: default
  champion: {{version: "41"}}
  challengers: [{{version: "42"}}]
  assignment: {{unit: {unit}}}
  metrics:
    - {{name: errors, from: prediction, stat: rate, margin: {{absolute: 0.1}}, exposure: 1h}}
    - {{name: disagreement, from: pair, ceiling: {CEILING}, exposure: 1h}}
  guardrails: [errors]
  stages: [{{shadow: {{require: [disagreement], deadline: 4d}}}}]
""".encode()
    )[0].spec
    salts = Salts(assignment="s", audit="a", rounding="r", self_check="c")
    start = Start(rollout="r1", epoch=1, opens_ms=T0, salts=salts, shares=(0.0,))
    return opened(spec, MODEL, start, {})


class Service:
    """Accounts whose every request both versions answer, counted by `unit`."""

    def __init__(self, folder, unit):
        folder.mkdir()
        self._databases = spine.Databases(f"sqlite:///{folder / 'template.db'}", folder)
        with writing(self._databases._engine) as connection:
            open_epoch(connection, epoch(unit), now_ms=0)
        self._databases.prepare([(MODEL, T0 - HOUR)], [])

    def says(self, asked):
        """The judge's verdict on pairs (time, account, whether they differ)."""
        log = spine.ListLog(spine.Hands(T0), partitions=1)
        lines = []
        for k, (at_ms, account, differs) in enumerate(sorted(asked)):
            event = {
                "type": "io.penstock.prediction.v1", "model": "spam", "prediction_id": f"p{k}",
                "time": at_ms, "unit_id": account,
            }  # fmt: skip
            other = {"version": "42", "role": "shadow",
                     "output": {"label": "spam" if differs else "ham"}}  # fmt: skip
            for said in ({"version": "41", "output": {"label": "ham"}}, other):
                lines.append((at_ms, json.dumps(event | said).encode()))
        end_ms = T0 + 48 * HOUR
        for first in range(0, len(lines), 200):
            part = lines[first : first + 200]
            log.put(0, part[-1][0], [line for _, line in part])
        end = {"type": "io.penstock.prediction.v1", "model": "spam", "prediction_id": "end",
               "time": end_ms, "version": "41", "output": {"label": "ham"}}  # fmt: skip
        log.put(0, end_ms, [json.dumps(end).encode()])
        with self._databases.fresh() as engine:
            spine.settle(spine.pipeline(log, engine, collectors=[Rollouts()]), log, engine)
            closer = UnitCloser(engine, partitions=lambda: 1, topic=EVENTS.name)
            while closer.step():
                pass
            with reading(engine) as connection:
                record = judge(look_at(connection, "r1", peaks={}))
        return next(each for each in record.judged if each.metric == "disagreement")


def test_pairs_of_one_account_are_not_so_many_proofs(tmp_path):
    """Versions that disagree exactly at the ceiling: on all requests of 15 % of the accounts, and
    on none of the others. Request by request a lucky draw of accounts is taken for proof."""
    naive, ours = Service(tmp_path / "naive", "request"), Service(tmp_path / "ours", "account")
    safe = {"naive": 0, "ours": 0}
    for run in range(RUNS):
        rng, asked = np.random.default_rng([3, run]), []
        for k in range(ACCOUNTS):
            differs, first_ms = bool(rng.random() < CEILING), T0 + int(rng.integers(HOUR))
            asked += [(first_ms + 1_000 * ask, f"{run}-{k}", differs) for ask in range(PAIRS)]
        found = {"naive": naive.says(asked), "ours": ours.says(asked)}
        for kind, judged in found.items():
            safe[kind] += judged.verdict is Verdict.SAFE
        assert (found["naive"].n, found["ours"].n) == (ACCOUNTS * PAIRS, ACCOUNTS)

    assert safe["naive"] >= 0.1 * RUNS, safe
    assert safe["ours"] <= most(RUNS) // 2, safe
