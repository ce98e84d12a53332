"""Webhooks in the store: made, failing and well again, rotated, ended; on both databases."""

import pytest

from streams import webhooks
from streams.db.engine import writing
from streams.errors import ConflictError, InputError
from streams.tables import webhook
from streams.webhooks import BOTH_MS, MOST, REVOKED


@pytest.fixture
def connection(engine):
    webhook.create(engine)
    with writing(engine) as connection:
        yield connection


def made(connection, **given):
    fields = {"url": "https://a/", "secret": "s0", "models": ["spam"], "description": ""}
    return webhooks.create(connection, **fields | given, now_ms=5, by="ann")


def test_one_is_live_fails_and_is_well_again(connection):
    one = made(connection).id

    webhooks.failed(connection, one, why="it answered 500", now_ms=10)
    webhooks.failed(connection, one, why="it answered 502", now_ms=20)
    failing = webhooks.one(connection, one)
    webhooks.took(connection, one, now_ms=30)
    well = webhooks.one(connection, one)

    assert (failing.state, failing.failing_ms, failing.failure) == (
        "failing",
        10,
        "it answered 502",
    )
    assert (well.state, well.failing_ms, well.failure, well.took_ms) == ("live", None, "", 30)


def test_two_secrets_sign_for_a_day_after_a_rotation_and_never_three(connection):
    one = made(connection).id

    webhooks.rotate(connection, one, secret="s1", now_ms=10)
    webhooks.rotate(connection, one, secret="s2", now_ms=20)

    signing = [
        webhooks.signed_with(connection, one, now_ms=now_ms)
        for now_ms in (20 + BOTH_MS - 1, 20 + BOTH_MS)
    ]
    assert signing == [["s2", "s1"], ["s2"]]


def test_one_that_has_ended_stays_so_and_keeps_no_secret(connection):
    one = made(connection).id
    webhooks.rotate(connection, one, secret="s1", now_ms=10)

    webhooks.end(connection, one, why=REVOKED, now_ms=20)
    webhooks.end(connection, one, why="another reason", now_ms=30)

    found = webhooks.one(connection, one)
    assert (found.state, found.ended_ms) == ("revoked", 20)
    assert webhooks.signed_with(connection, one, now_ms=20) == [""]
    assert webhooks.live(connection) == []
    for late in (
        lambda: webhooks.rotate(connection, one, secret="s2", now_ms=40),
        lambda: webhooks.require_live(connection, one),
    ):
        with pytest.raises(ConflictError, match="has ended"):
            late()


def test_there_is_a_most_of_live_ones(connection):
    some = [made(connection).id for _ in range(MOST)]

    with pytest.raises(ConflictError, match=f"there are {MOST} live webhooks"):
        made(connection)
    webhooks.end(connection, some[0], why=REVOKED, now_ms=20)

    assert made(connection).state == "live"


@pytest.mark.parametrize("name", ["wh_none", "a\0b"], ids=["unknown", "a NUL"])
def test_one_that_is_not_there_is_named(connection, name):
    with pytest.raises(InputError, match="there is no webhook"):
        webhooks.one(connection, name)


def test_one_hears_of_its_models(connection):
    own, every = made(connection), made(connection, models=["*"])

    assert [own.hears_of("spam"), own.hears_of("eta"), every.hears_of("eta")] == [True, False, True]
