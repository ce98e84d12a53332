"""Law 3 for decisions: killed between any two statements, a rollout ends as if nothing had been.

The clock of the story is the number of the decision, so that the same decisions have the same hash.
"""

from itertools import count

import pytest
from sqlalchemy import select

from rollout import editing, routes, store
from rollout.acting import Ask, decide
from rollout.courses import Kind
from rollout.decisions import Person, canonical, verified
from rollout.stages import Signal
from rollout.tables import rollout
from streams import outbox, plans
from streams.db.engine import connect, reading, writing
from tests.crash.dying import lives
from tests.rollout.test_acting import declared
from tests.streams import spine

T0 = spine.T0
ANN, BOB = (
    Person(name="ann", reason="a draft"),
    Person(name="bob", reason="the numbers are fine", groups=("risk",)),
)
STORY = (
    Signal.PLAN, Signal.START, Signal.ADVANCE, Signal.PAUSE, Signal.RESUME, Signal.ADVANCE,
    Signal.ADVANCE, Signal.ADVANCE, Signal.SIGN, Signal.ADVANCE, Signal.HARM, Signal.RESTORED,
)  # fmt: skip
"""Through every kind of stage but the last, and back."""


def played(url: str) -> None:
    """The rollout is made unless it is there, and goes on with the story from where it stands."""
    engine = connect(url, durable=True)
    try:
        with writing(engine) as connection:
            if not connection.execute(select(rollout)).first():
                editing.create(connection, declared(), who=ANN, now_ms=T0)
        while True:
            with reading(engine) as connection:
                seq = store.standing(connection, "fraud-42").state.seq
            if seq == len(STORY):
                return
            at_ms = T0 + seq * 1_000
            ask = Ask(rollout="fraud-42", signal=STORY[seq], cause=BOB, seen_seq=seq)
            decide(engine, ask, now_ms=at_ms, wall_ms=at_ms)
    finally:
        engine.dispose()


def outcome(engine):
    """The chain, every route table but its salt, every plan and every message."""
    with reading(engine) as connection:
        standing = store.standing(connection, "fraud-42")
        last = routes.upcoming(connection, standing.model, standing.route).version
        tables = [
            routes.at_version(connection, standing.model, standing.route, version)
            for version in range(1, last)
        ]
        bodies = [plan.body for plan in plans.read(connection)]
        live = connection.execute(select(store.rollout_live)).all()
    verified(map(canonical, standing.decisions))
    with writing(engine) as connection:
        sent = outbox.claim(connection, owner="t", now_ms=2 * T0, lease_ms=1)
    arms = [(table.version, table.arms, table.scope, table.expires_at) for table in tables]
    return standing.state, arms, bodies, live, [(each.message_id, each.body) for each in sent]


@pytest.fixture
def databases(database_url, tmp_path):
    made = spine.Databases(database_url, tmp_path).prepare([])
    yield made
    made.dispose()


@pytest.mark.parametrize("step", [211, pytest.param(11, marks=pytest.mark.crash)])
def test_a_rollout_killed_between_any_two_statements_ends_the_same(databases, step):
    def ends(k):
        """What it comes to when the first process dies before statement k; whether it lived."""
        with databases.fresh() as engine:
            url = engine.url.render_as_string(hide_password=False)
            alive = lives(k, played, url)
            played(url)
            return alive, outcome(engine)

    alive, expected = ends(10**9)
    assert alive
    assert expected[0].place.kind is Kind.ROLLED_BACK
    for k in count(3, step):
        alive, found = ends(k)
        assert found == expected, f"killed before statement {k}"
        if alive:
            break
    print(f"\n{k} statements")
    assert k > len(STORY) * 5
