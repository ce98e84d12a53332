"""Reports stand beside a version; the newest of a kind counts."""

import pytest

import streams.tables  # noqa: F401 - declares what create_all makes
from streams import codes, registry, versions
from streams.bundles import Bundle
from streams.db.engine import connect, writing
from streams.db.metadata import metadata
from streams.errors import InputError
from streams.files import Stored
from streams.models import Declaration

SPAM = Declaration(model="spam", task="classification", classes=("ham", "spam"))
GRAPH = Stored("model.onnx", "a" * 64, 10)
WHOLE = Bundle(onnx="model.onnx", hyperparameters={}, seed=0, dataset="mail@3", commit="3fae2c9")


@pytest.fixture
def db(tmp_path):
    engine = connect(f"sqlite:///{tmp_path / 'penstock.db'}")
    with writing(engine) as connection:
        metadata.create_all(connection)
        registry.register(connection, SPAM, now_ms=0, by="ann")
        yield connection
    engine.dispose()


def added(db, label="v1", **fields):
    body = versions.Body(files=(GRAPH,), bundle=WHOLE, **fields)
    return versions.add_version(db, "spam", label, body=body, now_ms=1, by="ann")


def reported(db, version, *, passed, body=b"{}"):
    versions.add_report(
        db, version, kind=versions.PARITY, passed=passed, body=body, now_ms=2, by="ann"
    )


def test_a_version_keeps_what_it_brings(db):
    version = added(db)

    assert versions.one(db, "spam", "v1") == version
    assert version.body.bundle == WHOLE
    assert version.digest != GRAPH.digest


def test_the_newest_report_says_whether_it_passed(db):
    version, other = added(db), added(db, "v2")
    before = versions.one(db, "spam", "v1")

    reported(db, version, passed=True, body=b"1")
    passed = versions.one(db, "spam", "v1")
    reported(db, version, passed=False, body=b"2")
    failed = versions.one(db, "spam", "v1")

    assert [v.parity for v in (before, passed, failed)] == [None, True, False]
    assert [v.attestation for v in (before, passed, failed)] == ["lineage", "full", "lineage"]
    assert [r.body for r in versions.reports(db, version, kind="parity")] == [b"2", b"1"]
    assert versions.one(db, "spam", "v2").parity is None
    assert versions.reports(db, other, kind="parity") == []


def test_a_version_that_only_events_have_named_attests_nothing(db):
    model_no = codes.resolve(db, "model", 0, ["spam"])["spam"]
    codes.resolve(db, "version", model_no, ["seen"])

    version = versions.one(db, "spam", "seen")

    assert version.attestation == "none"
    assert version.lacks("lineage")[0] == "weights"


def test_a_version_that_is_not_there_is_answered_with_the_nearest(db):
    added(db, "v41")

    with pytest.raises(InputError, match="no version 'v42'") as caught:
        versions.one(db, "spam", "v42")
    assert caught.value.fix == "did you mean v41?"


def test_a_version_must_bring_the_files_that_it_names(db):
    with pytest.raises(InputError, match=r"no file 'model\.onnx'"):
        versions.add_version(db, "spam", "v1", body=versions.Body(bundle=WHOLE), now_ms=1, by="ann")
