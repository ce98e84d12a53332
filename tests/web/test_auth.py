"""Who may come in: names, origins, keys and scopes."""

import asyncio

import pytest
from starlette.requests import Request

from penstock.web.auth import principal
from penstock.web.problems import Problem
from streams import keys
from streams.db.engine import connect, writing
from streams.keys import KeyRing
from tests.web.places import Place, lines, prediction

EVENT = lines(prediction(1))


def outcome(answer) -> str:
    """`taken`, or the problem's slug."""
    if answer.status_code < 400:
        return "taken"
    return answer.json()["type"].removeprefix("/problems/")


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"host": "localhost"}, "taken"),
        ({"host": "localhost:8080"}, "taken"),
        ({"host": "127.0.0.1:1"}, "taken"),
        ({"host": "[::1]:8080"}, "taken"),
        ({"host": "penstock.example"}, "taken"),
        ({"host": "PENSTOCK.example:8080"}, "taken"),
        ({"host": "localhost.evil.example"}, "unknown-host"),
        ({"host": "[::2]:8080"}, "unknown-host"),
        ({"host": ""}, "unknown-host"),
        ({"origin": "http://localhost:8080"}, "taken"),
        ({"origin": "http://localhost:9999"}, "foreign-origin"),
        ({"origin": "http://evil.example"}, "foreign-origin"),
        ({"origin": "null"}, "foreign-origin"),
        ({"sec_fetch_site": "cross-site"}, "foreign-origin"),
        ({"sec_fetch_site": "same-site"}, "foreign-origin"),
        ({"sec_fetch_site": "same-origin"}, "taken"),
        ({"forwarded": "for=192.0.2.7"}, "key-required"),
        ({"x_real_ip": "192.0.2.7"}, "key-required"),
        ({"authorization": "Basic Zm9v"}, "taken"),
    ],
)
def test_without_a_key_only_this_machine_and_its_own_names(tmp_path, headers, said):
    place = Place(tmp_path, allowed_hosts="penstock.example, other.example")

    with place.client() as client:
        answer = client.send(EVENT, **headers)

    assert outcome(answer) == said
    place.close()


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer ps_a_b"}])
def test_a_server_that_never_saw_the_keys_denies_nobody_and_asks_to_wait(tmp_path, headers):
    ring = KeyRing(connect(f"sqlite:///{tmp_path / 'missing' / 'no.db'}"))
    scope = {
        "type": "http", "client": ("127.0.0.1", 5),
        "headers": [(name.lower().encode(), text.encode()) for name, text in headers.items()],
    }  # fmt: skip

    with pytest.raises(Problem) as refused:
        asyncio.run(principal(Request(scope), ring))

    assert refused.value.slug == "keys-unavailable"
    assert refused.value.headers["Retry-After"] == "1"


def test_a_safe_request_from_another_page_is_answered_but_not_readable(client):
    answer = client.get("/v1/pipe", headers={"origin": "http://evil.example"})

    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_probes_are_answered_under_any_name(client):
    for path in ("/healthz", "/readyz"):
        assert client.get(path, headers={"host": "10.0.0.7:8080"}).status_code == 200
    assert client.get("/metrics", headers={"host": "10.0.0.7:8080"}).status_code == 403


def test_others_read_the_pipe_only_with_a_key(place):
    headers = place.key("rollouts:read")

    with place.client(address=("192.0.2.7", 5)) as client:
        assert client.get("/v1/pipe").status_code == 401
        assert client.get("/v1/pipe", headers=headers).status_code == 200


@pytest.mark.parametrize(("path", "status"), [("/v1/pipe", 401), ("/metrics", 403)])
def test_a_made_up_key_is_no_way_round_the_host_name(place, client, path, status):
    headers = {"Authorization": "Bearer ps_a_b", "host": "evil.example"}
    place.key("rollouts:read")

    assert client.get(path).status_code == 200
    assert client.get(path, headers=headers).status_code == status


def test_a_key_works_from_anywhere_under_any_name(place):
    headers = place.key("events:write")

    with place.client(address=("192.0.2.7", 5)) as client:
        answer = client.send(EVENT, host="ingest.example", x_forwarded_for="a", **headers)

    assert outcome(answer) == "taken"
    assert place.kept()[2][0].header.key == place.key_id(headers)


def test_a_key_made_while_we_run_works_at_once_and_locks_out_who_has_none(place, client):
    assert outcome(client.send(EVENT)) == "taken"

    headers = place.key("events:write")

    assert outcome(client.send(EVENT, **headers)) == "taken"
    assert outcome(client.send(EVENT)) == "key-required"


def test_a_revocation_works_without_a_restart(place, client):
    headers = place.key("events:write")
    assert outcome(client.send(EVENT, **headers)) == "taken"
    with writing(place.engine) as connection:
        keys.revoke(connection, place.key_id(headers), 2)

    client.wait(1.3)

    assert outcome(client.send(EVENT, **headers)) == "key-unknown"


def test_a_refusal_of_a_key_says_how_to_send_one_and_echoes_nothing(place, client):
    place.key("events:write")

    answer = client.send(EVENT, authorization="Bearer ps_abc_verysecret")

    assert answer.headers["www-authenticate"] == "Bearer"
    assert "verysecret" not in answer.text


@pytest.mark.parametrize(
    ("scope", "accepted"),
    [
        ("events:write", ["p", "f", "m", "a"]),
        ("labels:write", ["l", "m"]),
        ("admin", ["p", "l", "f", "m", "a"]),
    ],
)
def test_a_scope_opens_its_types(place, client, scope, accepted):
    common = {"model": "m", "time": 1}
    events = {
        "p": prediction(1),
        "l": {"type": "io.penstock.label.v1", "label_id": "l", "label": "x", "prediction_id": "p"},
        "f": {"type": "io.penstock.feedback.v1", "feedback_id": "f", "name": "n", "value": 1,
              "prediction_id": "p"},
        "m": {"type": "io.penstock.outcome-missing.v1", "prediction_id": "p", "source": "outcome"},
        "a": {"type": "io.penstock.assigned.v1", "instance": "i", "minute": 60_000, "arm": "a",
              "assigned": 1, "answered": 1, "dropped": 0},
    }  # fmt: skip
    body = lines(*[{**common, **event} for event in events.values()])

    answer = client.send(body, **place.key(scope)).json()

    rejected = {list(events)[r["index"]] for r in answer["rejected"]}
    assert rejected == set(events) - set(accepted)
    assert {r["code"] for r in answer["rejected"]} <= {"not_allowed"}
    assert answer["accepted"] == len(accepted)
