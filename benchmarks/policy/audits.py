"""How many labels people give until a challenger in shadow is called safe.

Both versions answer each request. Audits of disagreements alone (agreements at the ladder's floor,
never at 0) against audits of every pair, to the same decision, on the same kind of pair.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.policy import traffic
from benchmarks.policy.service import Sent, Service, database, event, request_id
from benchmarks.policy.traffic import Rng
from evidence.decision import Verdict
from rollout.assignment import RouteTable
from rollout.cells import Opened, point
from streams.hashing import pid16

PAIRS = 125  # a batch
BATCHES = 80
CHAMPION_ALONE, CHALLENGER_ALONE, BOTH = 0.035, 0.025, 0.03  # who is wrong: a gain of a point
POLICIES = {"disagreements": "{rate: 0.01, boost: {disagreement: 100}}", "uniform": "{rate: 1}"}
TEXT = """
apiVersion: penstock/v1
kind: ModelRollout
metadata: {{name: spam-42}}
spec:
  model: spam
  route: default
  champion: {{version: "41"}}
  challengers: [{{version: "42"}}]
  metrics:
    - {{name: defects, from: audit, of: wrong, paired: true, margin: {{absolute: 0.01}},
       matures: 30m}}
  guardrails: [defects]
  judge: {{plannedUnits: 2000}}
  audits: {audits}
  stages:
    - shadow: {{require: [defects], deadline: 30d}}
    - full: {{probation: 6h}}
"""


def labels(policy: str, template: Path, rng: Rng) -> int | None:
    """Audits answered when the judge first says safe; None when it has not after all batches."""
    given = 0
    with database(template) as engine:
        service = Service(engine, TEXT.format(audits=POLICIES[policy]).encode())
        service.begin(rng)
        _, record = service.look()
        assert record is not None  # its shadow has begun
        epoch = record.look.epochs[-1]
        for _ in range(BATCHES):
            sent = list(_batch(epoch, service.table(), service.batch_ms, rng))
            given += sum(b"label.v1" in line for _, line in sent)
            service.send(sent)
            _, record = service.look()
            assert record is not None
            if record.judged[0].verdict is Verdict.SAFE:
                return given
    return None


def share(template: Path, seed: np.random.SeedSequence) -> float:
    """Labels of the disagreements, as a share of the uniform audits'; infinite without an end."""
    uniform, ours = (
        labels(policy, template, np.random.default_rng(each))
        for policy, each in zip(("uniform", "disagreements"), seed.spawn(2), strict=True)
    )
    return ours / uniform if ours and uniform else np.inf


def _batch(epoch: Opened, table: RouteTable | None, start_ms: int, rng: Rng) -> Iterator[Sent]:
    """Live and shadow answers, and the labels of those pairs whose permanent number is drawn."""
    q = epoch.metrics[0].q
    routed = {} if table is None else {"arm": "champion", "route_version": table.version}
    for at_ms in (start_ms + np.sort(rng.integers(0, 30_000, PAIRS))).tolist():
        pid, luck, is_spam = request_id(at_ms, rng), rng.random(), rng.random() < traffic.SPAM
        wrong_a = luck < CHAMPION_ALONE + BOTH
        wrong_b = CHAMPION_ALONE <= luck < CHAMPION_ALONE + BOTH + CHALLENGER_ALONE
        for version, wrong, more in (("41", wrong_a, routed), ("42", wrong_b, {"role": "shadow"})):
            output = {"label": "spam" if is_spam != wrong else "ham"}
            yield event("prediction", pid, at_ms, version=version, output=output, **more)
        stratum = int(wrong_a != wrong_b)
        if point(epoch.salts.audit, pid16(pid)) < q[stratum]:
            truth = "spam" if is_spam else "ham"
            yield event("label", pid, at_ms + 60_000, label_id=pid, source="audit", label=truth)
