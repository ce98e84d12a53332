"""From the log to a verdict: what the pass froze is what the judge sees."""

from rollout.collector import Rollouts
from rollout.judge import judge, recompute
from rollout.looks import look_at
from rollout.opening import close_epoch, open_epoch
from streams.db.engine import reading, writing
from tests.rollout import counting as world
from tests.streams import spine

BEGINS = world.SHADOW_ENDS


def answers():
    """One live answer of each arm's own requests, and one much later, so that panes freeze."""
    for k, request in enumerate(world.IDS[:12]):
        arm = world.arm_of(request)
        yield {
            "type": "io.penstock.prediction.v1", "model": "spam", "prediction_id": request,
            "version": world.VERSIONS[arm], "arm": world.ARMS[arm], "route_version": 7,
            "time": BEGINS + k, "appended": BEGINS + k, "error": {"type": "Timeout"},
        }  # fmt: skip
    for k in range(20):
        late = BEGINS + 30 * world.MINUTE
        yield {
            "type": "io.penstock.prediction.v1", "model": "spam", "prediction_id": f"later-{k}",
            "version": "41", "time": late, "appended": late, "output": {"label": "ham"},
        }  # fmt: skip


def test_the_judge_sees_what_is_frozen_and_its_record_stands_by_itself(ready):
    spine.prepare(ready, [(world.MODEL, spine.T0)], world.ROUTES)
    with writing(ready) as connection:
        for body in world.epochs():
            open_epoch(connection, body, now_ms=0)
        close_epoch(connection, world.CLOSED[0], now_ms=0)
    log = spine.ListLog(spine.Hands(BEGINS), partitions=world.PARTITIONS)
    for event in answers():
        log.put(world.home_of(event), event["appended"], world.lines(event))
    spine.settle(spine.pipeline(log, ready, collectors=[Rollouts()]), log, ready)

    with reading(ready) as connection:
        look = look_at(connection, "r1", peaks={})
    record = judge(look)

    drawn = [world.arm_of(request) for request in world.IDS[:12]]
    assert record.units == {
        "champion": drawn.count(0), "42": drawn.count(1), "43": drawn.count(2)
    }  # fmt: skip
    (errors,) = [v for v in record.judged if (v.metric, v.arm, v.slice) == ("errors", "42", "")]
    assert errors.n == drawn.count(0) + drawn.count(1)
    assert recompute(record) == record
