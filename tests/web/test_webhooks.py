"""`/v1/webhooks`: made, tried, listed, rotated and ended, by those who may."""

from collections.abc import Iterator

import pytest

from streams import deliveries, installation
from streams.db.engine import writing
from streams.deliveries import New
from tests.penstock.receivers import Receiver
from tests.web.places import Client, Place
from tests.web.test_routes import slug


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    place = Place(tmp_path, outbound_prefixes="http://", outbound_networks="127.0.0.0/8")
    with writing(place.engine) as connection:
        installation.prepare(connection, now_ms=1_000)
    yield place
    place.close()


def made(client: Client, receiver: Receiver, **given: object) -> dict[str, str]:
    body = {"url": receiver.url, **given}
    answer = client.request("POST", "/v1/webhooks", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_webhook_is_made_tried_rotated_and_ended(client, receiver):
    webhook = made(client, receiver, description="for the tests")
    path = f"/v1/webhooks/{webhook['id']}"

    tried = client.request("POST", f"{path}/test").json()
    rotated = client.request("POST", f"{path}/rotate").json()
    ended = client.request("DELETE", path).json()
    [listed] = client.get("/v1/webhooks").json()["items"]
    after = client.request("POST", f"{path}/test")

    assert (tried["taken"], tried["status"], len(receiver.got)) == (True, 204, 1)
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != webhook["secret"]
    assert ended["state"] == listed["state"] == "revoked"
    assert (listed["description"], "secret" in listed) == ("for the tests", False)
    assert (after.status_code, slug(after)) == (409, "conflict")


def test_deliveries_come_in_pages_and_can_be_sent_again(place, client, receiver):
    webhook = made(client, receiver)["id"]
    with writing(place.engine) as connection:
        new = [New(webhook, f"msg_{k}", f"decision/r/{k}", b"{}") for k in range(3)]
        deliveries.put(connection, new, now_ms=1)
    path = f"/v1/webhooks/{webhook}"

    first = client.get(f"{path}/deliveries", params={"limit": 2}).json()
    rest = client.get(
        f"{path}/deliveries", params={"limit": 2, "cursor": first["next_cursor"]}
    ).json()
    again = client.request("POST", f"{path}/resend", json={"events": ["decision/r/1"]}).json()
    unknown = client.request("POST", f"{path}/resend", json={"events": ["decision/r/9"]})

    assert [each["event"][-1] for each in first["items"] + rest["items"]] == ["2", "1", "0"]
    assert rest["next_cursor"] is None
    assert again["count"] == 1
    assert (unknown.status_code, slug(unknown)) == (422, "bad-webhook")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "problem"),
    [
        ("POST", "", {"url": "ftp://example.com"}, 422, "bad-webhook"),
        ("POST", "", {"url": "http://a b/"}, 422, "bad-webhook"),
        ("POST", "", {"address": "http://a/"}, 422, "bad-webhook"),
        ("POST", "", {"url": "http://a/", "models": []}, 422, "bad-webhook"),
        ("POST", "", {"url": "http://a/", "description": "a\u202eb"}, 422, "bad-webhook"),
        ("POST", "/wh_none/test", None, 404, "no-webhook"),
        ("POST", "/wh_none/rotate", None, 404, "no-webhook"),
        ("POST", "/wh_none/resend", {}, 404, "no-webhook"),
        ("GET", "/wh_none/deliveries", None, 404, "no-webhook"),
        ("DELETE", "/a%00b", None, 404, "no-webhook"),
        ("GET", "?limit=0", None, 400, "bad-parameter"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_a_problem(client, method, path, body, status, problem):
    answer = client.request(method, f"/v1/webhooks{path}", json=body)

    assert (answer.status_code, slug(answer)) == (status, problem), answer.text


def test_only_an_admin_of_its_models_has_to_do_with_a_webhook(place, receiver):
    admin, other = place.key("admin"), place.key("admin", models=("spam",))
    reader = place.key("rollouts:read", "rollouts:decide")
    with place.client() as client:
        asked = {"url": receiver.url}
        every = client.request("POST", "/v1/webhooks", json=asked, headers=admin).json()["id"]
        own = client.request(
            "POST", "/v1/webhooks", json=asked | {"models": ["spam"]}, headers=other
        ).json()["id"]
        seen = client.get("/v1/webhooks", headers=other).json()["items"]
        refused = [
            client.get("/v1/webhooks", headers=reader),
            client.request("POST", "/v1/webhooks", json=asked, headers=other),
            client.request("POST", f"/v1/webhooks/{every}/rotate", headers=other),
            client.request("DELETE", f"/v1/webhooks/{own}", headers=reader),
        ]

    assert [each["id"] for each in seen] == [own]
    assert [slug(each) for each in refused] == ["not-allowed"] * 4
