"""`penstock model sync`: against a small stand-in that speaks MLflow's REST API."""

import hashlib

import pytest

from rollout.assignment import Challenger
from rollout.routes import publish, upcoming
from streams.db.engine import connect, writing
from tests.penstock.registries import TOKEN, WEIGHTS, serving

MODEL = b"model: spam\ntask: classification\nclasses: [ham, spam]\n"


@pytest.fixture
def registry():
    with serving() as held:
        yield held


@pytest.fixture
def synced(installed, registry, tmp_path, monkeypatch):
    """`penstock model sync spam` on an installation that knows the model."""
    monkeypatch.setenv("PENSTOCK_MLFLOW_URL", registry.url)
    monkeypatch.setenv("PENSTOCK_MLFLOW_TOKEN", TOKEN)
    (tmp_path / "model.yaml").write_bytes(MODEL)
    assert installed("model", "register", "-f", str(tmp_path / "model.yaml")).code == 0
    return lambda *args: installed("model", "sync", "spam", "--as", "mail", *args, "-o", "json")


def states(said):
    return {each["version"]: each["state"] for each in said.json}


def test_versions_come_with_what_made_them_and_again_they_are_known(synced, installed):
    first, again = synced(), synced()

    assert (first.code, again.code) == (0, 0)
    assert states(first) == dict.fromkeys("123", "registered")
    assert states(again) == dict.fromkeys("123", "known")
    shown = {
        each["label"]: each for each in installed("model", "versions", "spam", "-o", "json").json
    }
    assert [each["attestation"] for each in shown.values()] == ["lineage", "lineage", "none"]
    assert shown["1"]["bundle"] == {
        "onnx": "model.onnx", "hyperparameters": {"lr": "0.1", "seed": "7"}, "seed": 7,
        "dataset": "june@d1", "commit": "abcdef1",
    }  # fmt: skip
    assert shown["1"]["files"][0]["digest"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert shown["3"]["digest"] == "f" * 64


def test_one_that_changed_there_is_a_conflict_and_costs_no_other(synced, registry):
    synced()
    registry.versions["3"]["tags"][0]["value"] = "e" * 64
    registry.versions["2"]["status"] = "PENDING_REGISTRATION"
    registry.versions["4"] = registry.versions["1"] | {"version": "4"}

    said = synced()

    assert said.code == 1
    assert states(said)["1"] == "known"
    assert states(said)["2"] == "not ready: pending_registration"
    assert states(said)["3"].startswith("conflict: version '3' of 'spam' has digest")
    assert states(said)["4"] == "registered"


def test_the_alias_follows_who_has_the_route(synced, registry, data_dir):
    synced()
    engine = connect(f"sqlite:///{data_dir / 'penstock.db'}")
    with writing(engine) as connection:
        table = upcoming(connection, "spam", "default").table(
            salt="s", champion="2", challengers=[Challenger(version="3", share=0.0)], expires_at=1
        )
        publish(connection, table)
    engine.dispose()

    said = synced()

    assert registry.alias == "2"
    assert "the alias champion stands for version 2" in said.err
    answers = registry.answers
    synced()
    assert registry.alias == "2"
    assert registry.answers > answers


def test_what_is_wrong_is_said_with_the_next_step(synced, installed, registry, monkeypatch):
    assert "has no version of a model 'spam'" in installed("model", "sync", "spam").err
    registry.token = "another"
    assert "set PENSTOCK_MLFLOW_TOKEN" in synced().err
    monkeypatch.setenv("PENSTOCK_MLFLOW_URL", "http://127.0.0.1:9")
    away = installed("model", "sync", "spam")
    assert (away.code, "does not answer" in away.err) == (1, True)
    monkeypatch.delenv("PENSTOCK_MLFLOW_URL")
    assert "set PENSTOCK_MLFLOW_URL" in installed("model", "sync", "spam").err
