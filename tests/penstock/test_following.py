"""The alias at MLflow follows who has the route, however often anybody is away or killed."""

import dataclasses
import logging
from itertools import count

import pytest
from msgspec.structs import replace

from penstock.following import LEASE, Follower
from penstock.installation import opened, prepare
from penstock.mlflow import Mlflow
from penstock.settings import Settings
from penstock.syncing import sync
from rollout import editing
from rollout.acting import Ask, decide
from rollout.decisions import Person
from rollout.spec import VersionRef
from rollout.stages import Signal
from streams import aliases, registry
from streams.db import leases
from streams.db.engine import reading, writing
from streams.errors import UnavailableError
from streams.models import Declaration
from tests.crash.dying import lives
from tests.penstock.registries import TOKEN, serving
from tests.rollout.test_acting import declared
from tests.rollout.test_stages import WHOLE, spec

ANN = Person(name="ann", reason="it is time")
SHORT = spec([WHOLE[2], WHOLE[5]])
TO_FULL = (Signal.PLAN, Signal.START, Signal.ADVANCE, Signal.ADVANCE)


@pytest.fixture
def mlflow():
    with serving() as held:
        yield held


@pytest.fixture
def here(tmp_path, mlflow):
    settings = Settings(
        data_dir=tmp_path, partitions=1, mlflow_url=f"{mlflow.url}/", mlflow_token=TOKEN
    )
    prepare(settings)
    with opened(settings) as here:
        with writing(here.engine) as connection:
            model = Declaration(model="m", task="classification", classes=("ham", "spam"))
            registry.register(connection, model, now_ms=0, by="ann")
        yield here


def synced(here, mlflow):
    with Mlflow(mlflow.url, token=TOKEN) as server:
        return sync(here, server, "m", name="mail", alias="champion", route="r", by="ann")


def decided(here, *signals, name="first", of=SHORT):
    if Signal.PLAN in signals:
        with writing(here.engine) as connection:
            editing.create(connection, declared(name, of), who=ANN, now_ms=1)
    for signal in signals:
        ask = Ask(rollout=name, signal=signal, cause=ANN)
        decide(here.engine, ask, now_ms=here.now_ms(), wall_ms=here.now_ms())


def follower(here, **settings):
    own = dataclasses.replace(here.settings, **settings)
    return Follower(here.engine, own, owner="c", clock=here.clock)


def stands_for(here):
    with reading(here.engine) as connection:
        [found] = aliases.every(connection)
    return found.stands_for


def test_the_alias_moves_when_a_version_has_the_route_for_good_and_once(here, mlflow, caplog):
    caplog.set_level(logging.INFO)
    synced(here, mlflow)
    duty = follower(here)

    decided(here, *TO_FULL)
    duty.step()
    in_probation = list(mlflow.set)
    decided(here, Signal.FINISH)
    duty.step()
    asked = mlflow.answers
    duty.step()

    assert (in_probation, mlflow.set, mlflow.answers) == ([], ["2"], asked)
    assert stands_for(here) == "2"
    assert "the alias champion of mail at" in caplog.text


def test_it_moves_back_when_the_route_is_given_back(here, mlflow):
    synced(here, mlflow)
    decided(here, *TO_FULL, Signal.FINISH)
    duty = follower(here)
    duty.step()
    there = replace(SHORT, champion=VersionRef(version="2"), challengers=(VersionRef(version="1"),))

    decided(here, *TO_FULL, Signal.FINISH, name="back", of=there)
    duty.step()
    decided(here, *TO_FULL[:3], Signal.ROLLBACK, Signal.RESTORED, name="again")
    duty.step()

    assert mlflow.set == ["2", "1"]


def test_a_server_that_is_away_is_asked_again_until_it_is_there(here, mlflow):
    synced(here, mlflow)
    decided(here, *TO_FULL, Signal.FINISH)
    duty = follower(here)
    mlflow.is_down = True

    for _ in range(2):
        with pytest.raises(UnavailableError, match="answers 503"):
            duty.step()
    away = stands_for(here)
    mlflow.is_down = False
    duty.step()

    assert (away, stands_for(here), mlflow.set) == (None, "2", ["2"])


def test_a_person_who_moves_it_there_is_not_overruled(here, mlflow):
    synced(here, mlflow)
    decided(here, *TO_FULL, Signal.FINISH)
    duty = follower(here)
    duty.step()
    mlflow.alias = "1"

    duty.step()

    assert mlflow.alias == "1"


def test_a_version_that_did_not_come_from_there_is_said_and_left(here, mlflow, caplog):
    synced(here, mlflow)
    own = replace(SHORT, challengers=(VersionRef(version="7"),))
    decided(here, *TO_FULL, Signal.FINISH, of=own)
    duty = follower(here)

    duty.step()
    duty.step()

    assert mlflow.set == []
    assert caplog.text.count("did not come from MLflow") == 1


def test_a_server_that_the_settings_do_not_name_gets_no_token(here, mlflow):
    synced(here, mlflow)
    decided(here, *TO_FULL, Signal.FINISH)

    with serving() as other:
        follower(here, mlflow_url=other.url).step()

    assert (other.answers, mlflow.set) == (0, [])


def test_while_another_is_at_it_nothing_is_set(here, mlflow):
    synced(here, mlflow)
    decided(here, *TO_FULL, Signal.FINISH)
    with writing(here.engine) as connection:
        now_ms = here.clock.wall_ms()
        leases.acquire(connection, name=LEASE, owner="other", now_ms=now_ms, lease_ms=60_000)

    follower(here).step()

    assert mlflow.set == []


def stepped(settings):
    with opened(settings) as here:
        follower(here).step()


@pytest.mark.parametrize(
    ("about", "step"),
    [("UPDATE mlflow_alias", 1), pytest.param("", 9, marks=pytest.mark.crash)],
    ids=["before it is noted", "anywhere"],
)
def test_killed_between_any_two_statements_it_is_set_in_the_end(here, mlflow, about, step):
    synced(here, mlflow)
    decided(here, *TO_FULL, Signal.FINISH)
    with reading(here.engine) as connection:
        [follows] = aliases.every(connection)

    for k in count(0, step):
        mlflow.set.clear()
        with writing(here.engine) as connection:
            aliases.follow(connection, follows)
        alive = lives(k, stepped, here.settings, about=about)
        stepped(here.settings)
        assert (stands_for(here), set(mlflow.set)) == ("2", {"2"}), f"killed before {k}"
        if alive:
            break
    assert k > 0
