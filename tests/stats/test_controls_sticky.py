"""Rules 9, 10 and 11 with the product's own code: events, the pass, the closer and the judge.

Few runs of few units, so the naive variants are made to fail by much: they read the same totals.
"""

import json

import numpy as np
import pytest
from msgspec.structs import replace

from benchmarks.simulation import most
from evidence.decision import Verdict
from rollout.cells import PLAN, Closed, Salts, encoded
from rollout.closer import UnitCloser
from rollout.collector import Rollouts
from rollout.epochs import Figure, Start, opened
from rollout.judge import judge
from rollout.looks import look_at
from rollout.opening import open_epoch
from rollout.spec import read
from streams import plans
from streams.db.engine import reading, writing
from streams.hashing import assignment_point
from streams.models import Declaration
from streams.plans import EpochPlan
from streams.topics import EVENTS
from tests.streams import spine

pytestmark = pytest.mark.stats

RUNS = 25
MINUTE, HOUR = 60_000, 3_600_000
EXPOSURE = 20 * MINUTE
T0 = spine.T0 - spine.T0 % HOUR
MODEL = Declaration(model="spam", task="classification", classes=("ham", "spam"))
SALTS = Salts(assignment="s", audit="a", rounding="r", self_check="c")


def spec(margin):
    return read(
        f"""
apiVersion: penstock/v1
kind: ModelRollout
metadata: {{name: r1}}
spec:
  model: spam
  route: default
  champion: {{version: "41"}}
  challengers: [{{version: "42"}}]
  assignment: {{unit: account}}
  metrics: [{{name: errors, from: prediction, stat: rate, margin: {margin}, exposure: 20m}}]
  guardrails: [errors]
  judge: {{plannedUnits: 1000, selfCheck: false}}
  stages: [{{canary: {{weights: [5], dwell: 1h, require: guardrails, deadline: 4d}}}}]
""".encode()
    )[0].spec


def epoch(number, share, given, opens_ms, *, margin, mean=0.15):
    start = Start(
        rollout="r1", epoch=number, opens_ms=opens_ms, salts=SALTS, shares=(share,), given=given
    )
    return opened(spec(margin), MODEL, start, {"errors": Figure(mean=mean)})


class Service:
    """Accounts that ask, under these epochs; route version n is epoch n's."""

    def __init__(self, folder, bodies):
        self._opened = {body.epoch: body for body in bodies if not isinstance(body, Closed)}
        self._databases = spine.Databases(f"sqlite:///{folder / 'template.db'}", folder)
        with writing(self._databases._engine) as connection:
            for body in bodies:
                if isinstance(body, Closed):
                    plans.append(
                        connection, kind=PLAN, id="r1", body=encoded(body), from_ms=0, now_ms=0,
                        by="test",
                    )  # fmt: skip
                else:
                    open_epoch(connection, body, now_ms=0)
        routes = [EpochPlan("spam", "default", number, number, "s") for number in self._opened]
        self._databases.prepare([(MODEL, T0 - HOUR)], routes)

    def look(self, asked):
        """What is frozen at last of requests (time, account, epoch, whether it errs)."""
        log = spine.ListLog(spine.Hands(T0), partitions=1)
        lines = []
        for k, (at_ms, account, number, errs) in enumerate(sorted(asked)):
            share = self._opened[number].challengers[0].share
            arm = ("41", "champion"), ("42", "42")
            version, name = arm[assignment_point("s", account) < share]
            event = {
                "type": "io.penstock.prediction.v1", "model": "spam", "prediction_id": f"p{k}",
                "time": at_ms, "unit_id": account, "version": version, "arm": name,
                "route_version": number,
            }  # fmt: skip
            said = {"error": {"type": "Timeout"}} if errs else {"output": {"label": "ham"}}
            lines.append((at_ms, json.dumps(event | said).encode()))
        end_ms = max(at_ms for at_ms, _ in lines) + 48 * HOUR
        end = {"type": "io.penstock.prediction.v1", "model": "spam", "prediction_id": "end",
               "time": end_ms, "version": "41", "output": {"label": "ham"}}  # fmt: skip
        for first in range(0, len(lines), 100):
            part = lines[first : first + 100]
            log.put(0, part[-1][0], [line for _, line in part])
        log.put(0, end_ms, [json.dumps(end).encode()])
        with self._databases.fresh() as engine:
            spine.settle(spine.pipeline(log, engine, collectors=[Rollouts()]), log, engine)
            closer = UnitCloser(engine, partitions=lambda: 1, topic=EVENTS.name)
            while closer.step():
                pass
            with reading(engine) as connection:
                return look_at(connection, "r1", peaks={})


def says(look, verdict):
    """Whether the judge does, at alpha or beyond, on this look alone."""
    (found,) = judge(look).judged
    return found.verdict is verdict


def test_a_share_that_shrank_and_grew_again_assigns_nobody_anew(tmp_path):
    """Rule 9. 25 -> 5 -> 25 %, errors at the margin of 1.5. With the probability of the current
    share the champion's errors of the later epochs argue for the challenger."""
    margin, base, shares = "{relative: 0.5}", 0.12, (0.25, 0.05, 0.25)
    bodies = [
        epoch(n + 1, share, tuple(max(shares[:n], default=0.0) for _ in range(1)),
              T0 + 3 * n * HOUR, margin=margin)
        for n, share in enumerate(shares)
    ]  # fmt: skip
    service, naive, ours = Service(tmp_path, bodies), 0, 0
    for run in range(RUNS):
        rng, asked = np.random.default_rng([9, run]), []
        for n, share in enumerate(shares):
            for k in range(700):
                account = f"{run}-{n}-{k}"
                worse = 1.5 if assignment_point("s", account) < share else 1.0
                at_ms = T0 + 3 * n * HOUR + int(rng.integers(HOUR))
                asked.append((at_ms, account, n + 1, bool(rng.random() < worse * base)))
        look = service.look(asked)
        current = [
            replace(body, challengers=(replace(body.challengers[0], pi=share),))
            for body, share in zip(look.epochs, shares, strict=True)
        ]
        ours += says(look, Verdict.SAFE)
        naive += says(replace(look, epochs=tuple(current)), Verdict.SAFE)

    assert [body.challengers[0].pi for body in bodies] == [0.25, None, None]
    assert naive >= 0.9 * RUNS
    assert ours <= most(RUNS)


def test_exposures_that_a_growing_weight_cuts_are_no_values(tmp_path):
    """Rule 10. Equal versions; from 25 to 75 % while exposures are open. Who leaves the champion
    leaves it with half an exposure, and so with fewer errors: the challenger looks worse. Ours
    counts only who had the whole of it."""
    runs, accounts, moves_ms, margin = 10, 2_000, T0 + 40 * MINUTE, "{relative: 0.0}"
    begun = epoch(1, 0.25, (), T0, margin=margin)
    grown = epoch(2, 0.75, (0.25,), moves_ms, margin=margin)
    harmed = {}
    for kind, kept_ms in (("naive", None), ("ours", moves_ms)):
        closed = Closed(rollout="r1", epoch=1, closes_ms=moves_ms + EXPOSURE, moves_ms=kept_ms)
        (tmp_path / kind).mkdir()
        service, harmed[kind] = Service(tmp_path / kind, [begun, grown, closed]), 0
        for run in range(runs):
            rng, asked = np.random.default_rng([10, run]), []
            for k in range(accounts):
                account, first_ms = f"{run}-{k}", T0 + int(rng.integers(17, 40) * MINUTE)
                moved = 0.25 <= assignment_point("s", account) < 0.75
                for after_ms in (0, *rng.integers(EXPOSURE - MINUTE, size=2).tolist()):
                    number = 2 if moved and first_ms + after_ms >= moves_ms else 1
                    errs = after_ms > 0 and bool(rng.random() < 0.3)
                    asked.append((first_ms + after_ms, account, number, errs))
            look = service.look(asked)
            harmed[kind] += says(replace(look, epochs=look.epochs[:1]), Verdict.HARM)

    assert harmed["naive"] >= runs / 2
    assert harmed["ours"] <= most(runs)


def test_later_values_of_the_same_units_are_accounts_of_their_own(tmp_path):
    """Rule 11; design: 15 %. Equal versions, accounts that always err or never, seven periods. Read
    as fresh epochs, each period counts the same luck of the draw once more, and a version at its
    margin is called safe. Ours reads the first."""
    runs, periods = 80, 7
    body = epoch(1, 0.5, (), T0, margin="{absolute: 0.0}", mean=0.3)
    service, naive, ours = Service(tmp_path, [body]), 0, 0
    starts = [0, *(1 << k for k in range(periods - 1))]
    for run in range(runs):
        rng, asked = np.random.default_rng([11, run]), []
        for k in range(200):
            account, errs = f"{run}-{k}", bool(rng.random() < 0.3)
            first_ms = T0 + int(rng.integers(10)) * MINUTE
            asked += [(first_ms + EXPOSURE * start, account, 1, errs) for start in starts]
        look = service.look(asked)
        ours += says(look, Verdict.SAFE)
        naive += says(as_epochs(look, periods), Verdict.SAFE)

    assert 0.05 < naive / runs < 0.3, (naive, ours)
    assert ours <= most(runs) // 2, (naive, ours)
    assert naive > 2 * ours, (naive, ours)


def as_epochs(look, periods):
    """The later periods of the one epoch, as if they were epochs of other units."""
    (body,) = look.epochs
    epochs = [replace(body, epoch=k) for k in range(1, periods + 1)]
    totals = {each.what(0, -1): look.totals[body.what(0, -1, each.epoch)] for each in epochs}
    for each in epochs:
        totals[each.enrolled] = look.totals[body.enrolled]
    return replace(look, epochs=tuple(epochs), totals=totals)
