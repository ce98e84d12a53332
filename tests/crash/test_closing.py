"""Law 3 for the closer of sticky units: SIGKILL between any two statements of it.

One process after another goes on where the last one died, and dies. Cells, cursors and what is left
are those of one that nobody killed.
"""

import random

import pytest
from sqlalchemy import select

from rollout.closer import DONE
from rollout.collector import Rollouts
from rollout.tables import unit_cursor
from streams import counters
from streams.db.engine import reading
from tests.crash.dying import close_units, lives
from tests.rollout import sticky as world
from tests.rollout.test_units import BUSY, Sticky, closed, filled, remaining
from tests.streams import spine

pytestmark = pytest.mark.crash

SHADOWS = [
    event | {"version": other, "role": "shadow", "output": {"label": "spam"}}
    for event in BUSY
    for other in [next(each for each in world.VERSIONS if each != event["version"])]
]
FAILED = [event | {"prediction_id": f"f{k}", "error": {"type": "Timeout"}}
          for k, event in enumerate(BUSY[:2])]  # fmt: skip
for each in FAILED:
    del each["output"]
HISTORY = closed(sorted([*BUSY, *SHADOWS, *FAILED], key=lambda event: event["appended"]))


class Counted(Sticky):
    """Databases in which intake has counted all of the history, and nothing is closed."""

    def begun(self):
        super().begun()
        log = filled(HISTORY)
        spine.settle(spine.pipeline(log, self._engine, collectors=[Rollouts()]), log, self._engine)
        return self.prepare([])


def outcome(engine):
    with reading(engine) as connection:
        cells = counters.totals(connection, world.EPOCH.prefix)
        cursors = connection.execute(select(unit_cursor).order_by(unit_cursor.c.what)).all()
    return {what: vector.tolist() for what, vector in cells.items()}, cursors, remaining(engine)


@pytest.fixture
def ends(database_url, tmp_path):
    """What closing comes to, and how many processes died, each before its k-th statement."""
    made = Counted(database_url, tmp_path).begun()

    def end(draw, about=""):
        with made.fresh() as engine:
            url, died = engine.url.render_as_string(hide_password=False), 0
            while not lives(draw(), close_units, url, world.PARTITIONS, about=about):
                died += 1
            return outcome(engine), died

    yield end
    made.dispose()


def test_killed_at_each_of_its_cursors_a_closer_ends_the_same(ends):
    """Each process reads the cursors, moves one with what it counted, and dies before the next."""
    expected, _ = ends(lambda: 10**9)
    cells, cursors, left = expected
    assert sum(cells[world.EPOCH.enrolled]) == 6
    assert sum(sum(vector) for what, vector in cells.items() if what.endswith("/pairs")) > 0
    assert DONE in {row.what for row in cursors}
    assert left == [0, 0, 0, 0]

    found, died = ends(lambda: 3, "unit_cursor")

    assert found == expected
    assert died > 10


def test_killed_at_random_instants_again_and_again_a_closer_ends_the_same(ends):
    expected, _ = ends(lambda: 10**9)
    draw = random.Random(13)

    found, died = ends(lambda: draw.randrange(20, 90))

    assert found == expected
    assert died > 5
