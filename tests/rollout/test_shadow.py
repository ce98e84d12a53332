"""Candidates answer beside the live version: every live answer gets one, be it an error."""

import itertools

import msgspec
import numpy as np
import pytest
from sqlalchemy import delete

from penstock.direct import Direct
from penstock.installation import opened, prepare
from penstock.intake import pipeline
from penstock.ops.shadow import pair
from penstock.settings import Settings
from rollout import routes
from rollout.assignment import Challenger
from rollout.shadow import Candidate
from rollout.shadow_pass import CONSUMER, Shadow, wanted
from streams import codec, files, panel, positions, registry, versions
from streams.bundles import Bundle
from streams.db.engine import reading, writing
from streams.errors import InputError
from streams.events import Prediction
from streams.scoring import MIB, Limits
from streams.tables import position
from streams.topics import EVENTS
from tests.rollout.versions import BIAS, FEATURES, SPAM, WEIGHTS, softmax
from tests.streams import onnx_files

LIMITS = Limits(memory_bytes=256 * MIB, run_s=1.0)
GOOD = onnx_files.linear(WEIGHTS, BIAS)


class Place:
    """An installation with a declared model, versions, and a shadow runner in our hands."""

    def __init__(self, here, folder):
        self.here, self.folder = here, folder
        self.now_s = 0.0
        with writing(here.engine) as connection:
            registry.register(connection, SPAM, now_ms=0, by="ann")

    def add(self, label, made, **fields):
        path = onnx_files.saved(self.folder / f"{label}.onnx", made)
        stored = files.store(self.here.settings.files_dir, path)
        bundle = Bundle(**({"onnx": path.name, "inputs": FEATURES} | fields))
        with writing(self.here.engine) as connection:
            versions.add_version(
                connection, "spam", label, body=versions.Body((stored,), bundle=bundle),
                now_ms=1, by="ann",
            )  # fmt: skip

    def publish(self, *labels, valid_ms=600_000):
        with writing(self.here.engine) as connection:
            place = routes.upcoming(connection, "spam", "default")
            table = place.table(
                salt="s", champion="v1", expires_at=self.here.clock.wall_ms() + valid_ms,
                challengers=[Challenger(version=label, share=0.0) for label in labels],
            )  # fmt: skip
            routes.publish(connection, table)

    def send(self, count, first=0, **fields):
        """Live answers with features of their own; returns the features."""
        rng = np.random.default_rng(first)
        rows = rng.uniform(0, 2, (count, 3)).round(3)
        events = [
            {
                "type": "io.penstock.prediction.v1", "model": "spam", "version": "v1",
                "prediction_id": f"p-{first + k}", "time": self.here.now_ms(),
                "output": {"label": "ham", "score": 0.1}, "unit_id": f"u-{k}",
                "features": dict(zip(FEATURES, row.tolist(), strict=True)), **fields,
            }
            for k, row in enumerate(rows)
        ]  # fmt: skip
        assert Direct(self.here.log).take([msgspec.json.encode(event) for event in events]) == []
        return rows

    def runner(self, **options) -> Shadow:
        def begin(version, model):
            return Candidate(
                self.here.settings.files_dir, version, model, limits=LIMITS,
                seconds=lambda: self.now_s,
            )  # fmt: skip

        ticks = itertools.count(0.0, 2.0)
        return Shadow(
            self.here.log, self.here.engine, owner="w", clock=self.here.clock, begin=begin,
            seconds=lambda: next(ticks), **options,
        )  # fmt: skip

    def run(self, **options):
        runner = self.runner(**options)
        try:
            while runner.step():
                pass
        finally:
            runner.close()
        return runner

    def shadows(self) -> list[Prediction]:
        """Every shadow answer in the log, in the order of ids."""
        reader = self.here.log.reader(EVENTS.name, group=None)
        for partition, bounds in self.here.log.bounds(EVENTS.name).items():
            reader.seek(partition, bounds.begin)
        found = []
        while records := reader.poll(max_bytes=1 << 26, timeout_s=0):
            for record in records:
                decoded, refused = codec.decode_record(record.value)
                assert not decoded.bad
                assert not refused
                found += [e for e in decoded.events if getattr(e, "role", "") == "shadow"]
        reader.close()
        return sorted(found, key=lambda e: (e.version, int(e.prediction_id.removeprefix("p-"))))

    def rows(self):
        """What intake counts of all this."""
        worker = pipeline(self.here, owner="test")
        worker.drain()
        worker.close()
        with reading(self.here.engine) as connection:
            return {(row.version, row.role): row for row in panel.rows(connection, since_ms=0)}


@pytest.fixture
def place(tmp_path):
    settings = Settings(data_dir=tmp_path / "data", partitions=3)
    prepare(settings)
    with opened(settings) as here:
        yield Place(here, tmp_path)


def test_every_live_answer_is_paired_with_the_candidates(place):
    place.add("v2", GOOD)
    place.publish("v2")
    rows = place.send(100, route_version=1, arm="champion", tags={"region": "EU"})

    place.run()

    shadows = place.shadows()
    scores = softmax(rows)[:, 1]
    assert [e.output.score for e in shadows] == pytest.approx(scores.tolist(), abs=1e-6)
    assert [e.output.label for e in shadows] == ["spam" if s >= 0.5 else "ham" for s in scores]
    assert {(e.arm, e.route_version, e.tags["region"]) for e in shadows} == {("champion", 1, "EU")}
    assert [e.unit_id for e in shadows] == [f"u-{k}" for k in range(100)]
    assert all(e.features is None and e.queue_ms >= 0 for e in shadows)
    timed = [e.latency_ms for e in shadows if e.latency_ms is not None]
    assert 0 < len(timed) < len(shadows)
    assert place.rows()["v2", "shadow"].paired == 100


def test_what_is_made_again_after_a_crash_counts_once(place):
    place.add("v2", GOOD)
    place.publish("v2")
    place.send(40)
    place.run()
    with writing(place.here.engine) as connection:
        connection.execute(delete(position).where(position.c.consumer == CONSUMER))

    place.run()

    assert len(place.shadows()) == 80
    row = place.rows()["v2", "shadow"]
    assert (row.answered, row.paired) == (40, 40)


def test_a_runner_goes_on_where_the_one_before_stopped(place):
    place.add("v2", GOOD)
    place.publish("v2")
    place.send(10)
    place.run()
    place.send(5, first=10)
    place.run()

    assert [e.prediction_id for e in place.shadows()] == [f"p-{k}" for k in range(15)]
    with reading(place.here.engine) as connection:
        standing = positions.standing(connection, consumer=CONSUMER, topic=EVENTS.name)
    ends = {p: b.end for p, b in place.here.log.bounds(EVENTS.name).items()}
    assert set(positions.behind(ends, standing).values()) == {0}


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (onnx_files.greedy(10**9), "memory"),
        (onnx_files.looping(10**12), "timeout"),
        (onnx_files.one("Nonsense"), "load"),
        (onnx_files.reading("/etc/hostname"), "load"),
    ],
    ids=["memory", "hang", "no runtime", "outside"],
)
def test_a_candidate_that_cannot_answer_answers_with_errors_and_costs_no_other(place, made, kind):
    place.add("bad", made)
    place.add("good", GOOD)
    place.publish("bad", "good")
    place.send(20)

    place.run(batch=8)

    by_version = {v: [e for e in place.shadows() if e.version == v] for v in ("bad", "good")}
    assert all(e.output is not None for e in by_version["good"])
    kinds = {e.error.type for e in by_version["bad"]}
    assert kind in kinds
    assert kinds <= {kind, "unavailable"}
    assert {len(found) for found in by_version.values()} == {20}


def test_rows_that_give_nan_or_lack_a_feature_are_errors_and_the_others_are_answers(place):
    place.add("v2", GOOD)
    place.publish("v2")
    place.send(1, features={"links": 1.0, "length": None, "age": 1.0})
    place.send(1, first=1, features={"links": 1.0})
    place.send(1, first=2, features=None)

    place.run()

    said = [(e.error.type, e.error.message) for e in place.shadows()]
    assert said[0][0] == "not-finite"
    assert said[1] == ("features", "the event carries no feature 'length'")
    assert said[2] == ("features", "the event carries no features")


def test_a_candidate_that_keeps_ending_is_begun_ever_more_slowly(place):
    place.add("v2", onnx_files.looping(10**12))
    place.publish("v2")
    runner = place.runner()

    for k in range(4):
        place.send(1, first=k)
        while runner.step():
            pass
    paused = runner.tallies["spam", "v2"].starts
    place.now_s += 1.5
    place.send(1, first=9)
    while runner.step():
        pass
    resumed = runner.tallies["spam", "v2"].starts
    runner.close()

    assert (paused, resumed) == (1, 2)
    assert [e.error.type for e in place.shadows()] == [
        "timeout", "unavailable", "unavailable", "unavailable", "timeout",
    ]  # fmt: skip


def test_the_version_that_answered_live_is_not_asked_again(place):
    place.add("v2", GOOD)
    place.publish("v2")
    place.send(3, version="v2", arm="v2")
    place.send(2, first=3, role="proposed")

    place.run()

    assert place.shadows() == []


def test_challengers_without_a_file_and_expired_tables_ask_for_nothing(place):
    with writing(place.here.engine) as connection:
        versions.add_version(
            connection, "spam", "vendor", digest="a" * 64, body=versions.Body(), now_ms=1, by="ann"
        )
    place.add("v2", GOOD)
    place.publish("vendor")
    place.send(3)
    place.run()
    place.publish("v2", valid_ms=-1)
    place.send(3, first=3)
    place.run()

    assert place.shadows() == []
    with pytest.raises(InputError, match="no version 'vendor' with an ONNX file"):
        place.run(named=[("spam", "vendor")])


def test_a_candidate_may_be_named(place):
    place.add("v2", GOOD)
    place.send(3, route="elsewhere")

    place.run(named=[pair("spam=v2")])

    assert len(place.shadows()) == 3
    with pytest.raises(InputError, match="not a model and a version"):
        pair("spam")


def test_people_and_rules_are_no_candidates(place):
    place.publish("people", "v2")
    with reading(place.here.engine) as connection:
        tables = routes.newest(connection)

    assert wanted(tables, [], now_ms=0) == {("spam", "default"): {("spam", "v2")}}
