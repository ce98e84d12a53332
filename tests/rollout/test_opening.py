"""What an epoch freezes of the traffic before it, and when the one before it ends."""

import pytest
from sqlalchemy import Engine

from rollout import opening
from rollout.assignment import Place
from rollout.cells import PLAN, Closed, Opened, decoded
from rollout.consequences import Change
from rollout.spec import read
from rollout.traffic import Traffic
from streams import plans
from streams.db.engine import reading, writing
from streams.errors import InputError
from tests.rollout import counting as world
from tests.streams import spine

NOW = spine.T0 + 60 * world.MINUTE


@pytest.fixture
def begun(ready: Engine) -> Engine:
    """A model whose champion gave 200 answers within 20 ms, one in ten an error."""
    spine.prepare(ready, [(world.MODEL, spine.T0)])
    log = spine.ListLog(spine.Hands(NOW), partitions=world.PARTITIONS)
    for k in range(200):
        event = {
            "type": "io.penstock.prediction.v1", "model": "spam", "prediction_id": f"r{k}",
            "version": "41", "time": spine.T0 + k, "latency_ms": 20,
            **({"error": {"type": "Timeout"}} if k % 10 == 0 else {"output": {"label": "ham"}}),
        }  # fmt: skip
        log.put(world.home_of(event), spine.T0 + k, world.lines(event))
    spine.settle(spine.pipeline(log, ready), log, ready)
    return ready


def change(**others):
    given = {
        "rollout": "r1", "salt": "s", "spec": read(world.SPEC)[0].spec, "epoch": 2, "ended": 0,
        "traffic": Traffic(champion="41", shares=(0.2, 0.2), step=1),
        "number": Place("spam", "default", 0, 7), "given": (0.0, 0.0), "at_ms": NOW,
    }  # fmt: skip
    return Change(**given | others)


def frozen(engine, *, speed=1.0, **others):
    with writing(engine) as connection:
        opening.freezing(speed)(connection, change(**others))
    with reading(engine) as connection:
        stored = [plan for plan in plans.read(connection) if plan.kind == PLAN]
    return [decoded(plan.body) for plan in stored]


def test_an_epoch_freezes_what_the_champion_showed_before_it(begun):
    (body,) = frozen(begun)

    counted = {metric.name: metric for metric in body.metrics}
    assert isinstance(body, Opened)
    assert counted["errors"].centre == pytest.approx(0.1)
    champion, challenger = counted["latency"].thresholds
    assert 20 < champion < 29
    assert challenger == pytest.approx(champion * 1.1)
    assert body.opens_ms > NOW


def test_the_epoch_before_takes_answers_until_services_know_the_new_table(begun):
    closed, body = frozen(begun, ended=1)

    closes_ms = NOW + opening.GRACE_MS
    assert closed == Closed(rollout="r1", epoch=1, closes_ms=closes_ms, moves_ms=NOW)
    assert body.epoch == 2


def test_workers_and_services_have_as_long_where_the_domain_clock_is_fast(begun):
    closed, body = frozen(begun, speed=600.0, ended=1)

    assert closed.closes_ms == NOW + 600 * opening.GRACE_MS
    assert body.opens_ms == NOW + 600 * opening.LEAD_MS


def test_a_quantile_that_nobody_has_seen_is_refused_by_name(ready):
    spine.prepare(ready, [(world.MODEL, spine.T0)])

    with pytest.raises(InputError, match="latency"):
        frozen(ready)


def test_what_goes_back_to_the_champion_ends_an_epoch_and_needs_nothing(ready):
    spine.prepare(ready, [(world.MODEL, spine.T0)])

    (closed,) = frozen(ready, epoch=0, ended=2)

    assert isinstance(closed, Closed)
