"""`/v1/reviews`: people answer, each once; services are told as soon as somebody did."""

import asyncio
import time

import pytest

from rollout import reviews, store
from rollout.proposals import Asked, review_id
from rollout.reviews import Saying, State
from rollout.spec import read
from streams import registry
from streams.db.engine import writing
from streams.models import Declaration
from tests.rollout.test_reviews import NAME, SPEC
from tests.web.test_routes import slug

DAY_MS = 86_400_000
SENT = b'{"output": {"label": "spam", "score": 0.9}, "features": {"a": 1, "b": 2}}'


@pytest.fixture
def asked(place):
    """Opens reviews of a rollout in its supervised stage; returns the id."""
    from rollout.acting import Ask, decide
    from rollout.opening import freeze
    from rollout.stages import Signal
    from tests.rollout.test_acting import person

    now_ms = time.time_ns() // 1_000_000
    declared = Declaration(model="spam", task="classification", classes=("ham", "spam"))
    with writing(place.engine) as connection:
        registry.register(connection, declared, now_ms=0, by="ann")
        store.create(connection, read(SPEC)[0], reason="r", now_ms=now_ms, by="ann")
    for signal in (Signal.PLAN, Signal.START):
        ask = Ask(rollout=NAME, signal=signal, cause=person("ann"))
        decide(place.engine, ask, now_ms=now_ms, wall_ms=now_ms, freezing=freeze)

    def ask_for(prediction_id, *, within_ms=DAY_MS, model="spam", opened_ms=now_ms):
        id = review_id(model, prediction_id)
        row = Asked(
            id, model, NAME, 1, prediction_id, "42", 1.0, opened_ms, opened_ms + within_ms, SENT
        )
        with writing(place.engine) as connection:
            reviews.ask(connection, [row])
        return id

    return ask_for


def said(client, id, action="confirm", *, key="k", headers=None, **fields):
    named = {"Idempotency-Key": key} if key else {}
    body = {"action": action} | ({"reason": "it is not"} if action == "refuse" else {}) | fields
    return client.request("POST", f"/v1/reviews/{id}", json=body, headers=named | (headers or {}))


def awaited(client, prediction_id, *, wait=0, model="spam"):
    query = {"prediction_id": prediction_id, "wait": wait}
    return client.get(f"/v1/reviews/of/{model}", params=query)


def test_what_waits_is_listed_with_what_was_sent_those_first_that_are_due_first(client, asked):
    later, sooner = asked("p-1"), asked("p-2", within_ms=DAY_MS - 1)

    first = client.get("/v1/reviews?limit=1").json()
    rest = client.get("/v1/reviews", params={"cursor": first["next_cursor"]}).json()

    assert [each["id"] for page in (first, rest) for each in page["items"]] == [sooner, later]
    [shown] = rest["items"]
    assert (shown["proposed"], shown["answer"]["features"]) == ("spam 0.9", {"a": 1, "b": 2})
    assert (shown["state"], shown["probability"], rest["next_cursor"]) == ("open", 1, None)
    assert client.get(f"/v1/reviews/{later}").json() == shown


def test_the_first_answer_holds_and_the_second_hears_who_was_first(client, asked):
    id = asked("p-1")

    first = said(client, id, "refuse", label="ham", key="a")
    second = said(client, id, "confirm", key="b")

    assert (first.json()["state"], first.json()["label"], first.json()["by"]) == (
        "refused", "ham", "local",
    )  # fmt: skip
    assert (second.status_code, slug(second)) == (409, "conflict")
    assert "local refused it before: it is not" in second.json()["detail"]
    assert client.get("/v1/reviews").json()["items"] == []
    [shown] = client.get(f"/v1/reviews?state=refused&rollout={NAME}").json()["items"]
    assert shown == first.json()
    [counted] = client.get(f"/v1/rollouts/{NAME}").json()["reviews"]
    assert (counted["refused"], counted["refused_share"]) == (1, 1)


def test_the_same_key_gives_the_same_answer(client, asked):
    id = asked("p-1")

    first, again = said(client, id), said(client, id)
    other = said(client, id, "refuse")

    assert first.content == again.content
    assert slug(other) == "key-reused"


def test_after_its_time_nobody_confirms(client, asked):
    id = asked("p-1", opened_ms=1)

    assert slug(said(client, id)) == "review-over"
    assert awaited(client, "p-1").json()["state"] == "timed-out"
    assert slug(said(client, id, key="later")) == "review-over"


BAD = {
    "no key": ({"key": ""}, "idempotency-key-required"),
    "another action": ({"action": "maybe"}, "bad-review"),
    "another field": ({"labels": "ham"}, "bad-review"),
    "no reason": ({"action": "refuse", "reason": " "}, "bad-review"),
    "no class": ({"action": "refuse", "label": "eggs"}, "bad-review"),
    "a label of a confirmation": ({"label": "ham"}, "bad-review"),
    "a reason that cannot be kept": ({"reason": "\0"}, "bad-decision"),
}


def test_an_answer_that_cannot_be_is_refused_and_closes_nothing(client, asked):
    id = asked("p-1")

    told = {name: slug(said(client, id, **given)) for name, (given, _) in BAD.items()}

    assert told == {name: problem for name, (_, problem) in BAD.items()}
    assert client.get(f"/v1/reviews/{id}").json()["state"] == "open"


def test_what_a_model_declares_sensitive_is_seen_with_the_scope_for_it(place, client, asked):
    first, second = asked("p-1"), asked("p-2")
    declared = Declaration(
        model="spam", task="classification", classes=("ham", "spam"), sensitive=("a",)
    )
    with writing(place.engine) as connection:
        registry.register(connection, declared, now_ms=1, by="ann")
    plain = place.key("rollouts:decide", "rollouts:read")
    trusted = place.key("rollouts:decide", "rollouts:read", "pii:read")

    def seen(id, headers):
        shown = client.get(f"/v1/reviews/{id}", headers=headers).json()
        [listed] = [
            each for each in client.get("/v1/reviews", headers=headers).json()["items"]
            if each["id"] == id
        ]  # fmt: skip
        answered = said(client, id, headers=headers).json()
        return [each["answer"]["features"] for each in (shown, listed, answered)]

    assert seen(first, plain) == [{"a": "***", "b": 2}] * 3
    assert seen(second, trusted) == [{"a": 1, "b": 2}] * 3


def test_what_is_not_there_is_said(client, asked):
    asked("p-1")

    for answer in (
        said(client, "nine"), client.get("/v1/reviews/nine"), awaited(client, "p-9"),
        awaited(client, "p-1", model="ham"),
    ):  # fmt: skip
        assert (answer.status_code, slug(answer)) == (404, "no-review")
    for query in ("state=shut", "cursor=nine", "limit=0"):
        assert slug(client.get(f"/v1/reviews?{query}")) == "bad-parameter"
    for query in ("", "prediction_id=p-1&wait=99"):
        assert slug(client.get(f"/v1/reviews/of/spam?{query}")) == "bad-parameter"


def test_a_key_answers_and_sees_what_its_scopes_and_models_are(place, client, asked):
    id = asked("p-1")
    reads = place.key("rollouts:read")
    decides = place.key("rollouts:decide", "rollouts:read")
    elsewhere = place.key("rollouts:decide", "rollouts:read", models=("ham",))
    writes = place.key("events:write")

    def seen(key):
        return [each["id"] for each in client.get("/v1/reviews", headers=key).json()["items"]]

    assert (seen(reads), seen(elsewhere)) == ([id], [])
    assert [slug(said(client, id, headers=key)) for key in (reads, elsewhere, writes)] == [
        "not-allowed"
    ] * 3
    assert slug(client.get("/v1/reviews", headers=writes)) == "not-allowed"
    path = "/v1/reviews/of/spam?prediction_id=p-1"
    assert client.get(path, headers=writes).json()["state"] == "open"
    assert slug(client.get(path, headers=elsewhere)) == "not-allowed"
    assert said(client, id, headers=decides).json()["by"].startswith("k(")


@pytest.mark.parametrize("there", [True, False], ids=["open", "not counted yet"])
def test_a_service_that_waits_is_told_as_soon_as_somebody_answered(place, client, asked, there):
    id = asked("p-1") if there else review_id("spam", "p-1")
    yes = Saying(state=State.CONFIRMED, by="ann", reason="right")

    def confirm():
        if not there:
            asked("p-1")
        with writing(place.engine) as connection:
            assert reviews.answer(connection, id, yes, now_ms=1, wall_ms=1)

    async def both():
        http = client._http
        query = {"prediction_id": "p-1", "wait": "20"}
        poll = asyncio.create_task(http.get("/v1/reviews/of/spam", params=query))
        await asyncio.sleep(0.3)
        assert not poll.done()
        await asyncio.to_thread(confirm)
        return await poll

    began_s = time.monotonic()
    answer = client._runner.run(both())

    assert time.monotonic() - began_s < 15
    assert {name: answer.json()[name] for name in ("id", "state", "version", "by")} == {
        "id": id, "state": "confirmed", "version": "42", "by": "ann",
    }  # fmt: skip


def test_its_time_is_over_for_a_service_though_no_controller_runs(client, asked):
    asked("p-1", within_ms=700, opened_ms=time.time_ns() // 1_000_000)
    began_s = time.monotonic()

    assert awaited(client, "p-1", wait=20).json()["state"] == "timed-out"
    assert time.monotonic() - began_s < 15


def test_a_service_that_waits_in_vain_is_told_so(client, asked):
    asked("p-1")

    assert awaited(client, "p-1", wait=0.3).json()["state"] == "open"
    assert slug(awaited(client, "p-2", wait=0.3)) == "no-review"


def test_the_openapi_page_describes_reviews(client):
    page = client.get("/openapi.json").json()

    assert {"Reviews", "ReviewView", "Awaited"} <= page["components"]["schemas"].keys()
    assert "409" in page["paths"]["/v1/reviews/{id}"]["post"]["responses"]
    assert "/v1/reviews/of/{model}" in page["paths"]
