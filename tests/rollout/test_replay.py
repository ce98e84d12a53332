"""Recorded requests under another table: who answers is what it draws, or is not known."""

from hypothesis import given as examples
from hypothesis import strategies as st

from rollout.assignment import Challenger, Place, arm_of
from rollout.costs import Costs
from rollout.replay import Recorded, given, is_about
from streams.events import Feedback, Label, Output, Prediction, time_ms

TABLE = Place("spam", "default", 0, 7).table(
    salt="s", champion="41", challengers=[Challenger(version="42", share=0.4)], expires_at=1
)
MINUTE = 60_000


def answer(pid, version, *, role="live", label="ham", time=0):
    return Prediction(
        model="spam", time=time, prediction_id=pid, version=version, role=role,
        output=Output(label=label), arm="then", route_version=3,
    )  # fmt: skip


def truth(pid, label="ham", time=0):
    return Label(model="spam", time=time, label_id=f"l-{pid}", prediction_id=pid, label=label)


VERSIONS = st.lists(st.sampled_from(["41", "42", "43"]), min_size=1, max_size=3, unique=True)


@examples(st.uuids(version=4).map(str), VERSIONS, st.booleans())
def test_the_table_decides_who_answers_and_nothing_is_made_up(pid, versions, is_routed):
    answers = {
        version: answer(pid, version, role="shadow" if k else "live")
        for k, version in enumerate(versions)
    }
    now = given(answers, TABLE if is_routed else None, champion="41")

    drawn = arm_of(TABLE, pid, {}).version if is_routed else "41"
    assert now.live == (drawn if drawn in versions else None)
    if now.live is None:
        return
    assert {name: each.role for name, each in now.answers.items()} == {
        name: "live" if name == drawn else "shadow" for name in versions
    }
    assert {each.route_version for each in now.answers.values()} == {7 if is_routed else None}
    assert {name: each.output for name, each in now.answers.items()} == {
        name: each.output for name, each in answers.items()
    }


def test_where_a_person_is_to_confirm_the_challengers_answer_is_a_proposed_one():
    confirm = Challenger(version="42", share=1.0, confirm=True)
    table = Place("spam", "default", 0, 8).table(
        salt="s", champion="41", challengers=[confirm], expires_at=1
    )

    now = given({"41": answer("a", "41"), "42": answer("a", "42")}, table, champion="41")

    assert {name: each.role for name, each in now.answers.items()} == {
        "41": "shadow", "42": "proposed",
    }  # fmt: skip


def test_a_truth_holds_whoever_answers_and_a_reaction_only_to_the_answer_it_was_to():
    known = given({"41": answer("a", "41")}, None, champion="41")
    unknown = given({"42": answer("a", "42")}, None, champion="41")
    reaction = Feedback(model="spam", time=0, feedback_id="f", name="tip", prediction_id="a")

    assert is_about(truth("a"), known, was="42")
    assert not is_about(truth("a"), unknown, was="42")
    assert is_about(reaction, known, was="41")
    assert not is_about(reaction, known, was="42")


@examples(st.lists(st.integers(0, 30 * MINUTE), min_size=1, max_size=30), st.randoms())
def test_whatever_the_order_within_the_delay_the_past_is_played_in_its_own(times, random):
    events = [answer(f"r{k}", "41", time=time) for k, time in enumerate(times)]
    events += [answer(f"r{k}", "42", role="shadow", time=t + MINUTE) for k, t in enumerate(times)]
    events.sort(key=lambda each: time_ms(each.time) + random.randint(0, 9 * MINUTE))
    recorded = Recorded(delay_ms=10 * MINUTE)
    played, settled = [], 0
    for event in events:
        recorded.put(event)
        settled = max(settled, recorded.settled_ms)
        played += recorded.take(before_ms=settled)
    played += recorded.take(before_ms=2**62)

    begun = [min(time_ms(each.time) for each in answers.values()) for answers in played]
    assert begun == sorted(times)
    assert all(set(answers) == {"41", "42"} for answers in played)
    assert recorded.late == 0


def test_what_comes_long_after_its_time_is_left_out_and_counted():
    recorded = Recorded(delay_ms=MINUTE)
    recorded.put(answer("a", "41", time=5 * MINUTE))
    taken = list(recorded.take(before_ms=recorded.settled_ms))
    for pid, minute in (("b", 3), ("c", 4)):
        recorded.put(answer(pid, "41", time=minute * MINUTE))
    taken += recorded.take(before_ms=2**62)

    assert [next(iter(answers.values())).prediction_id for answers in taken] == ["c", "a"]
    assert recorded.late == 1


def test_costs_are_of_requests_that_every_policy_could_answer():
    costs = Costs(champion="41", challenger="42", positive="spam")

    def add(label, **said):
        answers = {v: answer("a", v, label=text) for v, text in said.items() if v != "live"}
        costs.add(given(answers, None, champion=said["live"]), truth("a", label))

    add("spam", live="42", **{"41": "spam", "42": "ham"})  # a miss of the challenger
    add("ham", live="41", **{"41": "spam", "42": "ham"})  # a false alarm of the champion
    add("ham", live="41", **{"41": "ham"})  # what the challenger would have said is not known

    told = {
        cost.policy: (cost.wrong, cost.false_alarms, cost.misses) for cost in costs.told(days=2)
    }
    assert {cost.labelled for cost in costs.told(days=2)} == {2}
    assert [cost.wrong_a_day for cost in costs.told(days=2)] == [0.5, 1.0, 0.5]
    assert told == {
        "champion alone": (1, 1, 0), "challenger at once": (1, 0, 1), "as decided": (2, 1, 1),
    }  # fmt: skip


def test_nothing_to_compare_costs_nothing():
    assert Costs(champion="41", challenger="42", positive=None).told(days=1) == []
