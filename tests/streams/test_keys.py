"""Keys open what they say, for as long as they say, and the table gives none of them away."""

import pytest
from sqlalchemy import Engine, select

from streams import keys
from streams.db.engine import reading, writing
from streams.db.metadata import metadata
from streams.errors import InputError
from streams.keys import Key, KeyRing, NewKey, Principal
from streams.tables import api_key

DAY_MS = 86_400_000


@pytest.fixture
def engine(engine: Engine) -> Engine:
    metadata.create_all(engine, tables=[api_key])
    return engine


def made(engine: Engine, **arguments: object) -> NewKey:
    wanted = {"name": "shop", "scopes": ["events:write"], "models": ["*"], "now_ms": 1000}
    with writing(engine) as connection:
        return keys.create(connection, **{**wanted, **arguments})  # type: ignore[arg-type]


def listed(engine: Engine) -> list[Key]:
    with reading(engine) as connection:
        return keys.list_keys(connection)


def ring(engine: Engine, now_ms: int = 2000) -> KeyRing:
    ring = KeyRing(engine)
    ring.refresh(now_ms)
    return ring


def test_a_token_is_its_key_with_its_rights(engine):
    new = made(engine, scopes=["labels:write", "events:write"], models=["mailguard", "eta"])

    who = ring(engine).authenticate(new.token, 2000)

    assert new.token.startswith(f"ps_{new.id}_")
    assert len(new.token.split("_", 2)[2]) == 43  # 256 bits
    assert who == Principal(
        new.id, frozenset({"labels:write", "events:write"}), frozenset({"mailguard", "eta"}), "shop"
    )
    assert (who.may("events:write"), who.may("rollouts:decide")) == (True, False)
    assert (who.sees("eta"), who.sees("other")) == (True, False)


def test_admin_may_everything_and_a_star_is_every_model(engine):
    token = made(engine, scopes=["admin"]).token

    who = ring(engine).authenticate(token, 2000)

    assert who is not None
    assert all(who.may(scope) for scope in keys.SCOPES)
    assert who.sees("anything")


def test_the_table_holds_no_secret(engine):
    secret = made(engine).token.split("_", 2)[2]

    with reading(engine) as connection:
        row = connection.execute(select(api_key)).one()

    assert secret not in repr(tuple(row))
    assert len(row.secret_sha256) == 32


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token[:-1],
        lambda token: token + "x",
        lambda token: token.replace("ps_", "pk_"),
        lambda token: token.replace("_", "-"),
        lambda token: "ps__" + token.split("_", 2)[2],
        lambda token: token.split("_", 2)[2],
        lambda _token: "",
        lambda _token: "ps_é_\udcff",
    ],
)
def test_anything_but_the_token_opens_nothing(engine, spoil):
    token = made(engine).token

    assert ring(engine).authenticate(spoil(token), 2000) is None


def test_an_expired_key_opens_nothing_from_its_very_moment(engine):
    token = made(engine, expires_ms=DAY_MS).token
    held = ring(engine)

    assert held.authenticate(token, DAY_MS - 1) is not None
    assert held.authenticate(token, DAY_MS) is None


def test_a_revocation_works_at_the_next_refresh(engine):
    new = made(engine)
    held = ring(engine)
    with writing(engine) as connection:
        keys.revoke(connection, new.id, 2500)
        keys.revoke(connection, new.id, 9999)

    held.refresh(3000)

    assert held.authenticate(new.token, 3000) is None
    assert held.required
    (key,) = listed(engine)
    assert (key.revoked_ms, key.state(3000)) == (2500, "revoked")


def test_two_live_keys_share_a_name_and_no_more(engine):
    first, second = made(engine), made(engine)
    with pytest.raises(InputError, match="2 live keys") as refused:
        made(engine)
    assert first.id in refused.value.fix
    with writing(engine) as connection:
        keys.revoke(connection, first.id, 2000)

    third = made(engine)

    held = ring(engine)
    assert held.authenticate(second.token, 2000) is not None
    assert held.authenticate(third.token, 2000) is not None


def test_until_the_first_key_none_is_required(engine):
    held = ring(engine)
    assert not held.required

    made(engine)
    held.refresh(3000)

    assert held.required


def test_a_refresh_soon_after_another_reads_nothing(engine):
    held = ring(engine, 2000)
    token = made(engine).token

    held.refresh_soon(2000 + keys.REREAD_MS - 1)
    assert held.authenticate(token, 2100) is None

    held.refresh_soon(2000 + keys.REREAD_MS)
    assert held.authenticate(token, 2100) is not None


def test_the_last_use_is_stored_once_a_minute_and_never_goes_back(engine):
    new = made(engine)
    held = ring(engine, 1_000_000)
    held.authenticate(new.token, 1_000_500)
    held.refresh(1_001_000)
    assert listed(engine)[0].last_used_ms is None

    held.refresh(1_000_000 + keys.SAVE_USE_MS)
    assert listed(engine)[0].last_used_ms == 1_000_500

    held.authenticate(new.token, 5)
    held.save_use()
    assert listed(engine)[0].last_used_ms == 1_000_500


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["events:read"]}, "scopes"),
        ({"models": []}, "models"),
        ({"models": [""]}, "models"),
        ({"expires_ms": 1000}, "expires_ms"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(engine, wrong, field):
    with pytest.raises(InputError) as refused:
        made(engine, **wrong)

    assert refused.value.field == field
    assert listed(engine) == []


def test_revoking_an_unknown_key_is_an_error(engine):
    with writing(engine) as connection, pytest.raises(InputError, match="no key 'nobody'"):
        keys.revoke(connection, "nobody", 1)
