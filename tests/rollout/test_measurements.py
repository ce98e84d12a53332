"""Drift scores hold an advance or let it pass, and never say that anything is safe or harmful."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from evidence.decision import Verdict
from rollout import measurements
from rollout.cells import Ceiling
from rollout.judge import judge, recompute
from rollout.looks import Look
from rollout.scenes import lets_pass
from rollout.spec import read
from streams.db.engine import reading, writing
from streams.logs.base import Record
from streams.messages import RouteChanged, WindowMeasured, encode
from streams.subscriptions import Subscription
from streams.topics import MEASUREMENTS
from tests.laws import laws
from tests.rollout import counting as world
from tests.rollout.examples import edited
from tests.streams import spine

HOUR = 3_600_000
FRAUD = read(edited())[0].spec
SHADOW, _ = world.epochs()


def window(end, *, drift=0.5, version="", monitor="inputs", model="spam"):
    return WindowMeasured(
        id=f"{model}/{monitor}/{version}/{end}", at_ms=end, model=model, monitor=monitor,
        from_ms=end - HOUR, to_ms=end, n=1_000, version=version, drift=drift,
    )  # fmt: skip


def judged(*windows, limit=1.0):
    epoch = replace(SHADOW, ceilings=(Ceiling("input_drift", limit),))
    record = judge(Look(epochs=(epoch,), totals={}, windows=windows))
    assert recompute(record) == record
    return {v.arm: v for v in record.judged if v.metric == "input_drift"}


@laws(60)
@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["", "42", "43", "9"])), max_size=5))
def test_a_score_holds_or_lets_pass_and_proves_nothing(scores):
    found = judged(
        *(window(0, drift=d, version=v, monitor=str(k)) for k, (d, v) in enumerate(scores))
    )

    for arm, verdict in found.items():
        mine = [drift for drift, version in scores if version in ("", arm)]
        assert verdict.verdict is (Verdict.UNDECIDED if mine else Verdict.NO_DATA)
        assert lets_pass(verdict, FRAUD) == (bool(mine) and max(mine) <= 1.0)


def test_a_window_without_a_score_is_none():
    assert judged(window(0, drift=None))["42"].verdict is Verdict.NO_DATA


def test_the_newest_window_of_each_monitor_counts_until_it_is_silent(ready):
    said = [
        window(5 * HOUR, drift=0.9), window(4 * HOUR, drift=2.0), window(5 * HOUR, monitor="other"),
        window(5 * HOUR, version="42"), window(5 * HOUR, model="ham"),
    ]  # fmt: skip
    with writing(ready) as connection:
        for message in [*said, RouteChanged(
            id="r", at_ms=0, rollout="r", model="spam", route="r", generation=1, version=1
        )]:  # fmt: skip
            measurements.handle(connection, message, 0)

    def fresh(now_ms):
        with reading(ready) as connection:
            return [(w.monitor, w.version, w.drift) for w in measurements.fresh(
                connection, "spam", now_ms=now_ms
            )]  # fmt: skip

    assert fresh(7 * HOUR) == [("inputs", "", 0.9), ("other", "", 0.5), ("inputs", "42", 0.5)]
    assert fresh(7 * HOUR + 1) == []


def test_a_message_is_taken_once_and_rubbish_costs_nothing_else(ready):
    spine.prepare(ready)
    log = spine.ListLog(spine.Hands(), partitions=2)
    log.records[MEASUREMENTS.name] = [
        Record(0, k, 0, value)
        for k, value in enumerate([encode(window(HOUR)), b"rubbish", encode(window(2 * HOUR))])
    ]
    heard = Subscription(
        log, ready, topic=MEASUREMENTS.name, consumer="rollout", owner="one", clock=log.clock,
        handle=measurements.handle,
    )  # fmt: skip
    heard.step()

    with reading(ready) as connection:
        (newest,) = measurements.fresh(connection, "spam", now_ms=2 * HOUR)
    assert newest == window(2 * HOUR)
