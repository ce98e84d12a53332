"""OFREP: stock OpenFeature clients get the arm that the table gives, and errors they understand."""

import pytest

from rollout.assignment import arm_of
from tests.web.routed import published

PATH = "/ofrep/v1/evaluate/flags/"


def ask(client, key, context, **arguments):
    return client.request("POST", PATH + key, json={"context": context}, **arguments)


def test_the_value_is_the_version_and_the_variant_the_arm(place):
    table = published(place.engine, 0.3, 0.3, unit="account_id")

    with place.client() as client:
        answers = [ask(client, "mailguard", {"targetingKey": f"a-{k}"}).json() for k in range(40)]

    for k, answer in enumerate(answers):
        arm = arm_of(table, f"a-{k}", {})
        assert (answer["value"], answer["variant"]) == (arm.version, arm.arm)
        assert answer["key"] == "mailguard"
        assert answer["reason"] == "SPLIT"
        assert answer["metadata"] == {
            "route": "default", "route_version": 1, "arm": arm.arm, "confirm": False,
        }  # fmt: skip
    assert {answer["variant"] for answer in answers} == {"champion", "42", "43"}


def test_tags_of_the_context_decide_the_scope_and_only_texts_are_tags(place):
    published(place.engine, 1.0, route="app", scope={"region": ("EU", "1")}, confirm=True)

    def told(**tags):
        answer = ask(client, "mailguard/app", {"targetingKey": "a", **tags}).json()
        return answer["variant"], answer["reason"], answer["metadata"]["confirm"]

    with place.client() as client:
        assert told(region="EU") == ("42", "SPLIT", True)
        for tags in ({}, {"region": "US"}, {"region": 1}, {"region": ["EU"]}):
            assert told(**tags) == ("champion", "TARGETING_MATCH", False)


@pytest.mark.parametrize("valid_ms", [None, -1])
def test_without_a_valid_table_the_flag_is_not_found_so_that_the_services_default_counts(
    place, valid_ms
):
    if valid_ms is not None:
        published(place.engine, 0.5, valid_ms=valid_ms)

    with place.client() as client:
        answer = ask(client, "mailguard", {"targetingKey": "a"})

    body = answer.json()
    assert answer.status_code == 404
    assert (body["key"], body["errorCode"]) == ("mailguard", "FLAG_NOT_FOUND")
    assert body["type"] == "/problems/no-route"
    assert ("expired" in body["errorDetails"]) == (valid_ms is not None)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "PARSE_ERROR"),
        (b"{", "PARSE_ERROR"),
        (b'{"context": {"targetingKey": "\xff"}}', "PARSE_ERROR"),
        (b"[]", "INVALID_CONTEXT"),
        (b'{"context": 1}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": 17}}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "%s"}}' % (b"x" * 201), "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": ""}}', "TARGETING_KEY_MISSING"),
        (b'{"context": {"region": "EU"}}', "TARGETING_KEY_MISSING"),
        (b"{}", "TARGETING_KEY_MISSING"),
    ],
)
def test_a_context_that_cannot_be_is_refused_in_ofreps_words_and_in_ours(place, content, code):
    published(place.engine, 0.5)

    with place.client() as client:
        answer = client.request(
            "POST", PATH + "mailguard", content=content,
            headers={"content-type": "application/json; charset=utf-8"},
        )  # fmt: skip

    body = answer.json()
    assert (answer.status_code, body["errorCode"], body["key"]) == (400, code, "mailguard")
    assert body["errorDetails"] == body["detail"]
    assert body["fix"]


def test_a_body_that_is_too_large_or_no_json_is_not_read(place):
    published(place.engine, 0.5)

    with place.client() as client:
        large = client.request("POST", PATH + "mailguard", content=b"x" * 70_000)
        form = client.request("POST", PATH + "mailguard", data={"a": "b"})

    assert (large.status_code, form.status_code) == (413, 415)


def test_a_key_evaluates_the_flags_of_its_models_from_anywhere_under_any_name(place):
    published(place.engine, 1.0)
    good = place.key("events:write", models=("mailguard",))
    other = place.key("events:write", models=("other",))
    context = {"targetingKey": "a"}

    with place.client(address=("192.0.2.7", 5)) as client:
        named = {"host": "penstock.example"}
        assert ask(client, "mailguard", context, headers=good | named).json()["value"] == "42"
        assert ask(client, "mailguard", context, headers=other).status_code == 403
        assert ask(client, "mailguard", context).status_code == 401
        assert ask(client, "mailguard", context, headers=named).status_code == 403


def test_a_page_of_another_site_evaluates_nothing(place):
    published(place.engine, 1.0)

    with place.client() as client:
        headers = {"origin": "http://evil.example"}
        answer = ask(client, "mailguard", {"targetingKey": "a"}, headers=headers)

    assert answer.json()["type"] == "/problems/foreign-origin"
