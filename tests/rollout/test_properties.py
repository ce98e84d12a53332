"""What no verdict may hang on, from events through intake to the judge."""

import uuid

import numpy as np
import pytest

from evidence.decision import Verdict
from penstock.migrations import upgrade
from rollout.collector import Rollouts
from rollout.epochs import Figure, Start, opened
from rollout.judge import judge
from rollout.looks import look_at
from rollout.opening import open_epoch
from rollout.spec import read
from streams.db.engine import connect, reading, writing
from tests.rollout import counting as world
from tests.streams import spine

MISSES = b"{name: misses, from: label, margin: {absolute: 0.01}"
TIP = b"cap: 50, better: higher, margin: {relative: 0.1}"
BEGINS = spine.T0
IDS = [str(uuid.UUID(f"{BEGINS + k:012x}7000800{k:013x}")) for k in range(300)]

ENROLLED = sum(world.arm_of(request) < 2 for request in IDS)  # of the champion and the first


class Watched:
    """A canary by route version 7, with salts that are known, on a database of its own."""

    def __init__(self, url, text, tip_mean=3.0):
        upgrade(url)
        self.engine = connect(url)
        spine.prepare(self.engine, [(world.MODEL, BEGINS)], world.ROUTES)
        start = Start(rollout="r1", epoch=2, opens_ms=0, salts=world.SALTS, shares=(0.3, 0.2))
        figures = {**world.FIGURES, "tip": Figure(mean=tip_mean)}
        body = opened(read(text)[0].spec, world.MODEL, start, figures)
        with writing(self.engine) as connection:
            open_epoch(connection, body, now_ms=0)
        self._log = spine.ListLog(spine.Hands(BEGINS), partitions=world.PARTITIONS)
        self._pass = spine.pipeline(self._log, self.engine, collectors=[Rollouts()])

    def send(self, events):
        for event in events:
            self._log.put(world.home_of(event), event["time"], world.lines(event))
        spine.settle(self._pass, self._log, self.engine)

    def judged(self, name):
        """The verdict on the first challenger, of what is frozen."""
        with reading(self.engine) as connection:
            record = judge(look_at(connection, "r1", peaks={}))
        (found,) = [v for v in record.judged if (v.metric, v.arm, v.slice) == (name, "42", "")]
        return found


@pytest.fixture
def watched(tmp_path):
    made = []

    def watch(text=world.SPEC, **others):
        made.append(Watched(f"sqlite:///{tmp_path}/{len(made)}.db", text, **others))
        return made[-1]

    yield watch
    for each in made:
        each.engine.dispose()


def answers():
    for k, request in enumerate(IDS):
        arm = world.arm_of(request)
        yield {
            "type": "io.penstock.prediction.v1", "model": "spam", "prediction_id": request,
            "version": world.VERSIONS[arm], "arm": world.ARMS[arm], "route_version": 7,
            "time": BEGINS + k, "output": {"label": "ham"},
        }  # fmt: skip


def labels(truth, *, at_ms, arm=None, **others):
    for request in IDS:
        if arm is None or world.arm_of(request) == arm:
            yield {
                "type": "io.penstock.label.v1", "model": "spam", "prediction_id": request,
                "label_id": f"{truth}-{at_ms}", "label": truth, "time": at_ms, **others,
            }  # fmt: skip


def an_hour_later():
    """Answers of no arm, so that the panes before them are frozen."""
    for k in range(20):
        yield {
            "type": "io.penstock.prediction.v1", "model": "spam", "prediction_id": f"later-{k}",
            "version": "41", "time": BEGINS + 60 * world.MINUTE, "output": {"label": "ham"},
        }  # fmt: skip


def test_labels_after_age_h_never_rewrite_a_verdict_they_make_it_doubtful(watched):
    rollout = watched(world.SPEC.replace(MISSES, MISSES.replace(b"0.01", b"0.4")))
    first = BEGINS + world.MINUTE
    rollout.send([*answers(), *labels("ham", at_ms=first), *an_hour_later()])
    before = rollout.judged("misses")

    late = BEGINS + 61 * world.MINUTE
    rollout.send(labels("spam", at_ms=late, arm=1, supersedes=f"ham-{first}"))
    after = rollout.judged("misses")

    assert before.verdict is Verdict.SAFE
    assert (after.n, after.estimate, after.log_safe, after.log_harm) == (
        before.n, before.estimate, before.log_safe, before.log_harm
    )  # fmt: skip
    assert after.verdict is Verdict.INVALID
    assert "corrected after they had counted" in after.reasons[0]


def test_a_few_labels_after_age_h_change_nothing_at_all(watched):
    rollout = watched()
    rollout.send([*answers(), *labels("ham", at_ms=BEGINS + 1), *an_hour_later()])
    before = rollout.judged("misses")

    late = BEGINS + 61 * world.MINUTE
    rollout.send(list(labels("spam", at_ms=late, arm=1, supersedes=f"ham-{BEGINS + 1}"))[:3])
    after = rollout.judged("misses")

    assert (after.verdict, after.log_safe, after.log_harm, after.reasons) == (
        before.verdict, before.log_safe, before.log_harm, before.reasons
    )  # fmt: skip


def test_the_unit_of_a_metric_changes_nothing_from_the_event_to_the_verdict(watched):
    """Dollars or millions of them: values, cap and margin by 1e-6."""
    spends = np.random.default_rng(7).lognormal(2.0, 1.0, len(IDS)).tolist()
    found = []
    for scale in (1.0, 1e-6):
        terms = f"cap: {50 * scale!r}, better: higher, margin: {{absolute: {8 * scale!r}}}"
        rollout = watched(world.SPEC.replace(TIP, terms.encode()), tip_mean=10 * scale)
        tips = [
            {"type": "io.penstock.feedback.v1", "model": "spam", "name": "tip",
             "time": BEGINS + 500, "prediction_id": request, "feedback_id": request,
             "value": spend * scale}
            for request, spend in zip(IDS, spends, strict=True)
        ]  # fmt: skip
        rollout.send([*answers(), *tips, *an_hour_later()])
        found.append(rollout.judged("tip"))
    plain, scaled = found

    assert plain.n == scaled.n > 200
    assert plain.verdict is scaled.verdict
    assert scaled.estimate == pytest.approx(plain.estimate * 1e-6, rel=1e-6)
    assert scaled.log_safe == pytest.approx(plain.log_safe, rel=1e-6) != 0
    assert scaled.log_harm == pytest.approx(plain.log_harm, rel=1e-6) != 0


@pytest.mark.parametrize("gone", ["misses", "costs", "tip"])
def test_a_metric_whose_labels_stop_coming_altogether_has_no_data(watched, gone):
    rollout = watched()
    rollout.send([*answers(), *an_hour_later()])
    found = rollout.judged(gone)

    assert (found.verdict, found.n) == (Verdict.NO_DATA, ENROLLED)


def test_without_any_unit_every_metric_has_no_data(watched):
    rollout = watched()
    rollout.send(an_hour_later())

    for name in ("errors", "misses", "tip", "costs", "wrong"):
        assert rollout.judged(name).verdict is Verdict.NO_DATA
