"""Deciding: record, plan, route table and messages in one transaction, whoever comes at once."""

import threading

import pytest
from msgspec.structs import replace

from penstock.migrations import upgrade
from rollout import courses, editing, routes, store
from rollout.acting import Ask, act, decide
from rollout.courses import Kind, Place
from rollout.decisions import Evidence, Person, canonical, verified
from rollout.spec import Metadata, Rollout, VersionRef, digest
from rollout.stages import Signal
from streams import messages, outbox, plans
from streams.db.engine import connect, reading, writing
from streams.errors import ConflictError, IllegalTransitionError, InputError, NotAllowedError
from streams.messages import RolloutDecided, RouteChanged
from streams.plans import Plans
from tests.rollout.test_stages import WHOLE, spec

NOW_MS = 1_795_000_000_000
SPEC = spec(WHOLE)
TWO = replace(SPEC, challengers=(VersionRef(version="2"), VersionRef(version="3")))
HARM = Evidence(verdicts=(), reasons=("2: errors: proven worse than its margin allows",))
BEGIN = (Signal.PLAN, Signal.START)


@pytest.fixture
def here(sqlite_url):
    """A database for what is no matter of transactions."""
    upgrade(sqlite_url)
    engine = connect(sqlite_url)
    yield engine
    engine.dispose()


def person(name="ann", *groups):
    return Person(name=name, reason="it is time", via="cli", groups=groups)


def declared(name="fraud-42", of=SPEC):
    return Rollout(
        api_version="penstock/v1", kind="ModelRollout", metadata=Metadata(name=name), spec=of
    )


def created(engine, name="fraud-42", of=SPEC):
    with writing(engine) as connection:
        editing.create(connection, declared(name, of), who=person("author"), now_ms=NOW_MS)


def ask(engine, signal, *, name="fraud-42", cause=None, freezing=None, **fields):
    wanted = Ask(rollout=name, signal=signal, cause=cause or person(), **fields)
    return decide(engine, wanted, now_ms=NOW_MS, wall_ms=NOW_MS + 5, freezing=freezing)


def walked(engine, *signals, name="fraud-42"):
    for signal in signals:
        if signal is Signal.SIGN:
            ask(engine, signal, name=name, cause=person("bob", "risk"))
        else:
            ask(engine, signal, name=name)
    return standing(engine, name)


def standing(engine, name="fraud-42"):
    with reading(engine) as connection:
        return store.standing(connection, name)


def table(engine, route=SPEC.route):
    with reading(engine) as connection:
        [found] = [each for each in routes.newest(connection) if each.route == route]
    return found


def sent(engine):
    with writing(engine) as connection:
        claimed = outbox.claim(connection, owner="t", now_ms=NOW_MS * 2, lease_ms=1)
    assert {(each.topic, each.key) for each in claimed} <= {("decisions", "fraud-42")}
    return [messages.decode(each.body) for each in claimed]


TO_END = (
    *BEGIN, *[Signal.ADVANCE] * 4, Signal.SIGN, Signal.ADVANCE, Signal.ADVANCE, Signal.FINISH,
)  # fmt: skip


def test_a_rollout_walks_to_its_end_and_the_winner_is_the_routes_champion(ready):
    created(ready)
    shares, epochs = [], []
    for signal in TO_END:
        walked(ready, signal)
        if signal not in (Signal.PLAN, Signal.SIGN):
            now = table(ready)
            shares.append([round(arm.hi - arm.lo, 6) for arm in now.arms[:-1]])
            epochs.append(standing(ready).state.published.epoch)

    end = standing(ready)
    assert shares == [[0], [0.01], [0.02], [0.05], [0.05], [0.5], [1], []]
    assert epochs == [1, 2, 3, 4, 4, 5, 6, 0], "an approval goes on with the epoch before it"
    assert end.state.place.kind is Kind.DONE
    assert end.state.given == (1.0,)
    assert table(ready).champion.version == "2"
    with reading(ready) as connection:
        assert len(verified(store.log(connection, "fraud-42"))) == len(TO_END)


def test_the_supervised_scope_is_in_the_table_with_its_confirmation(here):
    created(here)
    walked(here, *BEGIN, Signal.ADVANCE)

    now = table(here)
    assert now.scope == {"region": ("EU",)}
    assert [(arm.version, arm.confirm) for arm in now.arms] == [("2", True), ("1", False)]
    assert (now.salt, now.expires_at) == (standing(here).salt, NOW_MS + 5 + routes.VALID_MS)


def test_intake_knows_each_route_version_before_anybody_can_name_it(ready):
    seen = []

    def freezing(connection, change):
        known = Plans()
        known.extend(plans.read(connection))
        at = change.number
        published = [t for t in routes.newest(connection) if t.version >= at.version]
        key = (at.model, at.route, at.version)
        seen.append((known.epochs[key], change.epoch, change.ended, published))

    created(ready)
    for signal in (*BEGIN, Signal.ADVANCE, Signal.ROLLBACK):
        ask(ready, signal, freezing=freezing)

    assert seen == [(1, 1, 0, []), (2, 2, 1, []), (0, 0, 2, [])]


def test_a_crash_in_the_midst_leaves_nothing_of_a_decision(ready):
    created(ready)
    before = walked(ready, *BEGIN)
    old, told = table(ready), len(sent(ready))

    def crash(connection, change):
        del connection, change
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask(ready, Signal.ADVANCE, freezing=crash)

    assert standing(ready) == before
    assert (table(ready), len(sent(ready))) == (old, told)
    with reading(ready) as connection:
        assert len([p for p in plans.read(connection) if p.kind == plans.EPOCH]) == 1


def test_each_decision_is_told_and_each_table_after_it(ready):
    created(ready)
    walked(ready, *BEGIN)
    ask(ready, Signal.HARM, cause=HARM)

    told = sent(ready)
    kinds = [RolloutDecided, RolloutDecided, RouteChanged, RolloutDecided, RouteChanged]
    assert list(map(type, told)) == kinds
    harm = told[3]
    assert (harm.signal, harm.before, harm.after) == ("harm", "shadow", "rolling-back")
    assert (harm.who, harm.because, harm.seq) == (None, HARM.reasons, 3)
    assert harm.hash == standing(ready).state.head
    assert told[4].version == table(ready).version
    assert len({each.id for each in told}) == len(told)


def test_who_saw_an_older_decision_is_told_who_moved_it(here):
    created(here)
    seen = walked(here, *BEGIN).state.seq
    ask(here, Signal.PAUSE, cause=person("bob"))

    with pytest.raises(ConflictError, match="decision 3 is pause by bob") as told:
        ask(here, Signal.ADVANCE, seen_seq=seen)
    assert told.value.why == "it is paused now"


def test_going_back_is_never_refused_however_old_the_look(ready):
    for steps in range(len(TO_END)):
        name = f"r-{steps}"
        created(ready, name, replace(SPEC, route=name))
        walked(ready, *TO_END[:steps], name=name)

        decision = ask(ready, Signal.ROLLBACK, name=name, seen_seq=0)

        if steps < len(BEGIN):
            assert decision.after.kind is Kind.CANCELLED
            continue
        assert decision.after.kind is Kind.ROLLING_BACK
        assert ask(ready, Signal.ROLLBACK, name=name) == decision, "said twice, decided once"
        assert {arm.version for arm in table(ready, name).arms if arm.hi > arm.lo} == {"1"}


def test_of_two_that_decide_at_once_one_is_told_to_look_again(ready):
    created(ready)
    seen = walked(ready, *BEGIN).state.seq

    told = together(
        lambda: ask(ready, Signal.ADVANCE, seen_seq=seen),
        lambda: ask(ready, Signal.PAUSE, seen_seq=seen),
    )

    assert sorted(type(each).__name__ for each in told) == ["ConflictError", "Decision"]
    assert standing(ready).state.seq == seen + 1


def test_going_back_wins_against_whoever_goes_on_at_the_same_time(ready):
    created(ready)
    walked(ready, *BEGIN)

    def busy():
        for signal in [Signal.PAUSE, Signal.RESUME] * 6:
            ask(ready, signal)

    told = together(busy, lambda: ask(ready, Signal.ROLLBACK), lambda: ask(ready, Signal.HARM))

    ends = {each.seq for each in told if not isinstance(each, Exception | None)}
    assert len(ends) == 1, "both who went back are told of one decision"
    here = standing(ready)
    assert here.state.place.kind is Kind.ROLLING_BACK
    assert {arm.version for arm in table(ready).arms if arm.hi > arm.lo} == {"1"}
    verified(map(canonical, here.decisions))


def test_one_rollout_is_live_on_a_route_also_when_two_start_at_once(ready):
    for name in ("one", "two"):
        created(ready, name)
        walked(ready, Signal.PLAN, name=name)

    told = together(*(lambda n=name: ask(ready, Signal.START, name=n) for name in ("one", "two")))

    [refused] = [each for each in told if isinstance(each, ConflictError)]
    [begun] = [each.rollout for each in told if not isinstance(each, Exception)]
    assert f"has a live rollout: {begun}" in refused.message
    other = {"one": "two", "two": "one"}[begun]
    assert standing(ready, other).state.place.kind is Kind.PLANNED
    ask(ready, Signal.ROLLBACK, name=begun)
    ask(ready, Signal.RESTORED, name=begun)
    assert walked(ready, Signal.START, name=other).state.published.epoch == 2


def together(*calls):
    """What each call came to, all begun at once."""
    barrier, told = threading.Barrier(len(calls)), [None] * len(calls)

    def run(k, call):
        barrier.wait(10)
        try:
            told[k] = call()
        except Exception as error:
            told[k] = error

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def test_a_rollout_begins_with_the_version_that_serves_the_route(here):
    created(here)
    walked(here, *TO_END)
    created(here, "again")

    with pytest.raises(InputError, match="is served by '2', and the spec's champion is '1'"):
        walked(here, *BEGIN, name="again")


def test_of_two_challengers_one_goes_and_the_other_keeps_its_units_in_a_new_epoch(here):
    created(here, of=TWO)
    walked(here, *BEGIN, *[Signal.ADVANCE] * 3)
    before = table(here)

    ask(here, Signal.DROP, arm="2", cause=HARM)

    after, state = table(here), standing(here).state
    assert after.version > before.version
    assert after.arms[1] == before.arms[1]
    assert after.arms[0].lo == after.arms[0].hi
    assert (state.published.epoch, state.dropped) == (5, ("2",))
    assert state.given == (0.05, 0.05)
    with pytest.raises(IllegalTransitionError, match="canary"):
        ask(here, Signal.DROP, arm="3")
    with pytest.raises(InputError, match="no challenger that is left"):
        ask(here, Signal.DROP, arm="2")


def test_full_weight_is_for_one(here):
    created(here, of=TWO)
    walked(here, *TO_END[:8])

    with pytest.raises(IllegalTransitionError) as told:
        ask(here, Signal.ADVANCE)
    assert "2, 3 are left" in told.value.why
    ask(here, Signal.DROP, arm="2")
    walked(here, Signal.ADVANCE, Signal.FINISH)
    assert table(here).champion.version == "3"


def test_an_approval_is_signed_by_those_it_names_and_not_by_its_author(here):
    created(here)
    walked(here, *BEGIN, *[Signal.ADVANCE] * 4)

    for who, why in (
        (person("eve"), "cannot sign"),
        (person("author", "risk"), "notAuthor"),
    ):
        with pytest.raises(NotAllowedError, match=why):
            ask(here, Signal.SIGN, cause=who)
    with pytest.raises(IllegalTransitionError, match="approval") as told:
        ask(here, Signal.ADVANCE)
    assert told.value.why == "0 of 1 signatures, from risk"
    ask(here, Signal.SIGN, cause=person("bob", "risk"))
    with pytest.raises(NotAllowedError, match="signed already"):
        ask(here, Signal.SIGN, cause=person("bob", "risk"))
    assert ask(here, Signal.ADVANCE).after.kind is Kind.AB


def edited(engine, of, *, who="author"):
    with writing(engine) as connection:
        return editing.edit(
            connection, declared(of=of), who=person(who), now_ms=NOW_MS, wall_ms=NOW_MS
        )


def confirmed(engine, no, who):
    with writing(engine) as connection:
        return editing.confirm(
            connection, "fraud-42", no, who=person(who), now_ms=NOW_MS, wall_ms=NOW_MS
        )


LOOSER, TIGHTER = replace(SPEC, blind_after="30m"), replace(SPEC, blind_after="5m")


def test_an_edit_that_loosens_waits_for_a_second_person(here):
    created(here)
    walked(here, *BEGIN)

    edit = edited(here, LOOSER)

    assert (edit.holds, edit.revision, standing(here).revision.no) == (False, 2, 1)
    with pytest.raises(NotAllowedError, match="wrote revision 2"):
        confirmed(here, 2, "author")
    with pytest.raises(ConflictError, match="revision 3"):
        confirmed(here, 3, "bob")
    confirmed(here, 2, "bob")
    found = standing(here)
    assert (found.revision.no, found.waiting, found.state.revision) == (
        2,
        None,
        digest(declared(of=LOOSER)),
    )
    with pytest.raises(ConflictError, match="does not wait"):
        confirmed(here, 2, "bob")


def test_an_edit_that_tightens_or_of_a_draft_holds_at_once(here):
    created(here)
    assert edited(here, LOOSER).holds
    walked(here, *BEGIN)

    before = table(here)
    assert edited(here, TIGHTER).holds
    assert standing(here).declared.spec == TIGHTER
    assert table(here) == before
    with pytest.raises(InputError, match="nothing differs from revision 3"):
        edited(here, TIGHTER)


def test_an_edit_keeps_the_step_where_the_rollout_stands(here):
    created(here)
    walked(here, *BEGIN, Signal.ADVANCE)

    edited(here, replace(SPEC, stages=SPEC.stages[1:]))
    confirmed(here, 2, "bob")

    found = standing(here)
    assert found.state.place == Place(Kind.SUPERVISED, 0)
    assert courses.weight(found.course, found.state.place) == 1
    with pytest.raises(InputError, match="stands at supervised"):
        edited(here, replace(SPEC, stages=SPEC.stages[2:]))
    assert walked(here, Signal.ADVANCE).state.place == Place(Kind.CANARY, 1)


def test_a_name_is_taken_for_ever_and_an_unknown_one_is_said(here):
    created(here)
    walked(here, *BEGIN, Signal.ROLLBACK, Signal.RESTORED)

    with pytest.raises(ConflictError, match="already"):
        created(here)
    with pytest.raises(InputError, match="no rollout 'none'"):
        ask(here, Signal.PLAN, name="none")
    with reading(here) as connection:
        [line] = store.summaries(connection)
    assert (line.rollout, line.stage, line.seq) == ("fraud-42", Kind.ROLLED_BACK, 4)


def test_a_call_inside_a_transaction_sees_what_it_did_before(here):
    created(here)
    with writing(here) as connection:
        for signal in BEGIN:
            wanted = Ask(rollout="fraud-42", signal=signal, cause=person())
            act(connection, wanted, now_ms=NOW_MS, wall_ms=NOW_MS)

    assert standing(here).state.place == Place(Kind.SHADOW, 0)
