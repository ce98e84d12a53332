"""Plans hold from their time on, in event time, and are read in the order they were stored."""

import msgspec

from streams import plans
from streams.db.engine import reading, writing
from streams.models import Declaration
from streams.plans import EpochPlan, Plans


def declared(owner):
    return Declaration(model="m", task="regression", owner=owner)


def append(store, kind, value, from_ms=0):
    with writing(store) as connection:
        return plans.append(
            connection, kind=kind, id="m", body=msgspec.json.encode(value), from_ms=from_ms,
            now_ms=1, by="ann",
        )  # fmt: skip


def read(store, known=None):
    known = known or Plans()
    with reading(store) as connection:
        known.extend(plans.read(connection, after_seq=known.seq))
    return known


def test_a_model_that_nobody_declared_is_observed(store):
    known = read(store)

    assert known.model("m").at(10**13).task == "observed"
    assert known.model("m").newest.task == "observed"


def test_a_declaration_holds_from_its_time_on_for_events_of_that_time(store):
    append(store, plans.MODEL, declared("first"))
    append(store, plans.MODEL, declared("second"), from_ms=100)

    of_model = read(store).model("m")

    assert [of_model.at(ms).owner for ms in (0, 99, 100, 10**13)] == ["first"] * 2 + ["second"] * 2
    assert of_model.newest.owner == "second"


def test_a_span_has_one_declaration_or_none(store):
    append(store, plans.MODEL, declared("first"))
    append(store, plans.MODEL, declared("second"), from_ms=100)

    of_model = read(store).model("m")

    assert of_model.between(0, 99).owner == "first"
    assert of_model.between(100, 200).owner == "second"
    assert of_model.between(99, 100) is None


def test_what_was_read_is_not_read_again(store):
    append(store, plans.MODEL, declared("first"))
    known = read(store)
    append(store, plans.EPOCH, EpochPlan("m", "default", 7, 70))

    known = read(store, known)

    assert known.seq == 2
    assert known.epochs == {("m", "default", 7): 70}
    assert known.model("m").newest.task != "observed"


def test_the_latest_plan_of_a_kind_and_id_is_the_one_stored_last(store):
    append(store, plans.MODEL, declared("first"), from_ms=100)
    last = append(store, plans.MODEL, declared("second"), from_ms=50)

    with reading(store) as connection:
        assert plans.latest(connection, plans.MODEL, "m").seq == last
        assert plans.latest(connection, plans.MODEL, "other") is None
