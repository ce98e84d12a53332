"""A pair says something of latency when both answers were timed, or failed."""

import pytest

from evidence.paired import Pair
from rollout.cells import EVERYWHERE
from rollout.collector import Rollouts
from rollout.counted import shaped
from rollout.opening import open_epoch
from streams import counters
from streams.db.engine import reading, writing
from tests.rollout import counting as world
from tests.streams import spine

AT = spine.T0 + world.MINUTE
FAST, SLOW, UNTIMED, FAILED = {"latency_ms": 1}, {"latency_ms": 5_000}, {}, None


@pytest.mark.parametrize(
    ("challenger", "told"),
    [
        (FAST, (1, Pair.EQUAL)), (SLOW, (1, Pair.CHALLENGER_WRONG)),
        (FAILED, (1, Pair.CHALLENGER_WRONG)), (UNTIMED, (0, None)),
    ],
    ids=["fast", "slow", "failed", "untimed"],
)  # fmt: skip
def test_what_a_shadow_answer_says_of_latency(ready, challenger, told):
    spine.prepare(ready, [(world.MODEL, spine.T0 - 60 * world.MINUTE)])
    shadow, _ = world.epochs()
    with writing(ready) as connection:
        open_epoch(connection, shadow, now_ms=0)
    log = spine.ListLog(spine.Hands(AT), partitions=world.PARTITIONS)
    for version, role, said in (("41", "live", FAST), ("42", "shadow", challenger)):
        failed = {"error": {"type": "Timeout"}}
        event = {
            "type": "io.penstock.prediction.v1", "model": "spam", "time": AT, "role": role,
            "prediction_id": world.IDS[0], "version": version,
            **(failed if said is None else {"output": {"label": "ham"}, **said}),
        }  # fmt: skip
        log.put(world.home_of(event), AT, world.lines(event))
    spine.settle(spine.pipeline(log, ready, collectors=[Rollouts()]), log, ready)

    no, metric = next((k, m) for k, m in enumerate(shadow.metrics) if m.name == "latency")
    with reading(ready) as connection:
        panes = counters.panes(connection, shadow.what(no, EVERYWHERE))
    cells = sum(panes.values(), start=0)
    mine = shaped(metric, cells, 2)[0] if panes else [0] * metric.columns
    enrolled, outcome = told
    assert mine[0] == enrolled
    assert [k for k, n in enumerate(mine[1:]) if n] == ([] if outcome is None else [outcome])
