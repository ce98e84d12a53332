"""`GET /v1/models` and `/v1/models/{model}/versions`, page by page."""

import pytest

from streams import registry, versions
from streams.bundles import Bundle
from streams.db.engine import writing
from streams.models import Declaration
from tests.web.test_routes import slug

WORDS = Bundle(hyperparameters={"lr": 0.1}, seed=1, dataset="mail@3", commit="3fae2c9")


@pytest.fixture
def filled(place):
    with writing(place.engine) as connection:
        for name in ("eta", "mail/guard", "spam"):
            declared = Declaration(model=name, task="regression")
            registry.register(connection, declared, now_ms=0, by="ann")
        for k in range(5):
            body = versions.Body(bundle=WORDS if k == 4 else Bundle())
            versions.add_version(
                connection, "mail/guard", f"v{k}", digest=f"{k}" * 64, body=body, now_ms=1, by="ann"
            )
    return place


def pages(client, path, **params):
    """Every page, by following the cursor."""
    while True:
        answer = client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        yield [each.get("label", each["model"]) for each in answer.json()["items"]]
        params["cursor"] = answer.json()["next_cursor"]
        if params["cursor"] is None:
            return


def test_models_come_in_pages_by_name(filled):
    with filled.client() as client:
        assert list(pages(client, "/v1/models", limit=2)) == [["eta", "mail/guard"], ["spam"]]
        assert list(pages(client, "/v1/models", limit=3)) == [["eta", "mail/guard", "spam"]]


def test_versions_come_in_pages_and_say_what_they_attest(filled):
    path = "/v1/models/mail%2Fguard/versions"

    with filled.client() as client:
        assert list(pages(client, path, limit=2)) == [["v0", "v1"], ["v2", "v3"], ["v4"]]
        last = client.get(path).json()["items"][-1]

    assert (last["attestation"], last["lacks"]) == ("lineage", ["onnx", "a passed parity check"])
    assert last["bundle"]["hyperparameters"] == {"lr": 0.1}


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/v1/models/none/versions", "no-model"),
        ("/v1/models?limit=0", "bad-parameter"),
        ("/v1/models?limit=201", "bad-parameter"),
        ("/v1/models?limit=many", "bad-parameter"),
        ("/v1/models/spam/versions?cursor=-1", "bad-parameter"),
        ("/v1/models/spam/versions?cursor=9999999999999999999999", "bad-parameter"),
    ],
)
def test_what_cannot_be_is_named(filled, path, problem):
    with filled.client() as client:
        assert slug(client.get(path)) == problem


def test_a_key_sees_the_models_that_it_is_bound_to(filled):
    bound = filled.key("rollouts:read", models=("spam",))
    writer = filled.key("events:write")

    with filled.client(address=("192.0.2.7", 5)) as client:
        found = client.get("/v1/models", headers=bound).json()["items"]
        other = client.get("/v1/models/eta/versions", headers=bound)
        unread = client.get("/v1/models", headers=writer)

    assert [each["model"] for each in found] == ["spam"]
    assert [slug(other), slug(unread)] == ["not-allowed", "not-allowed"]
