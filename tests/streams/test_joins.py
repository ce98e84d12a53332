"""Which requests of a join key a label is about, by the model's rule; in every order of arrival."""

from itertools import permutations

import pytest

from streams import requests
from streams.models import Declaration
from tests.streams import spine
from tests.streams.histories import Sent

TIMES = {"early": 10, "middle": 20, "late": 40}  # seconds; the outcome is seen at 30


def events():
    answers = [
        {
            "type": "io.penstock.prediction.v1", "model": "m", "version": "v1", "join_key": "order",
            "prediction_id": name, "time": spine.T0 + s * 1000, "output": {"label": "x"},
        }
        for name, s in TIMES.items()
    ]  # fmt: skip
    outcome = {
        "type": "io.penstock.label.v1", "model": "m", "label_id": "l", "label": "x",
        "join_key": "order", "time": spine.T0 + 30_000,
    }  # fmt: skip
    return [*answers, outcome]


def labelled(store, rule, sent):
    declaration = Declaration(
        model="m", task="classification", classes=("x", "y"), join=rule, horizons={"outcome": "1d"}
    )
    spine.prepare(store, [(declaration, spine.T0)])
    log = spine.ListLog(spine.Hands(), partitions=1)
    for event in sent:
        log.put(0, spine.T0 + 60_000, Sent((0, 0, [event])).lines)
    log.cuts.extend([1, 2])
    spine.pipeline(log, store).drain()
    cells = spine.content(store)["cells"]
    return sum(named.get("labelled", 0) for key, named in cells.items() if key[0][0] == "pipe")


@pytest.mark.parametrize("order", list(permutations(range(4)))[::3], ids=str)
@pytest.mark.parametrize(("rule", "count"), [("first", 1), ("latest", 1), ("all", 3)])
def test_a_label_is_counted_where_the_rule_says_whatever_came_first(
    sqlite_store, rule, count, order
):
    sent = [events()[k] for k in order]

    assert labelled(sqlite_store, rule, sent) == count


@pytest.mark.parametrize(
    ("rule", "others", "count"),
    [
        ("first", ("middle", "late"), 1),
        ("latest", ("late",), 0),
        ("latest", ("middle", "late"), 1),
        ("all", ("late",), 1),
    ],
)
def test_only_the_latest_rule_looks_at_when_the_outcome_was_seen(sqlite_store, rule, others, count):
    sent = [e for e in events() if e.get("prediction_id") in (None, *others)]

    assert labelled(sqlite_store, rule, sent) == count


@pytest.mark.parametrize(("rule", "chosen"), [("first", "early"), ("latest", "middle")])
def test_the_chosen_request_is_the_one_the_rule_names(sqlite_store, rule, chosen):
    sent = events()
    for event in sent:
        if event.get("prediction_id") == chosen:
            event["arm"] = "chosen"

    labelled(sqlite_store, rule, sent)

    cells = spine.content(sqlite_store)["cells"]
    arms = {key[0][4] for key, named in cells.items() if named.get("right")}
    assert arms == {"chosen"}


def test_a_join_key_that_everybody_shares_is_one_for_the_first_of_them_only(
    sqlite_store, monkeypatch
):
    monkeypatch.setattr(requests, "MAX_MEMBERS", 2)
    *answers, outcome = events()

    assert labelled(sqlite_store, "all", [*answers, outcome]) == 2

    found = spine.content(sqlite_store)
    assert len(found["answers"]) == 3
    unjoined = [n for key, n in found["cells"].items() if key[0][:2] == ("intake", "unjoined")]
    assert sum(sum(named.values()) for named in unjoined) == 1


def test_labels_of_one_request_past_the_limit_are_dead_letters(sqlite_store, monkeypatch):
    monkeypatch.setattr(requests, "MAX_LABELS", 2)
    answer, outcome = events()[0], events()[-1]
    labels = [outcome | {"label_id": f"l{k}", "prediction_id": "early"} for k in range(4)]

    labelled(sqlite_store, "all", [answer, *labels])

    found = spine.content(sqlite_store)
    assert len(found["labels"]) == 2
    assert [code for code, *_ in found["dead"].values()] == ["too_many_labels"] * 2
