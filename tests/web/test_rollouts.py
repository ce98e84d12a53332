"""`/v1/rollouts`: a rollout is made, decided about and taken back over HTTP, with no controller."""

import json
import time

import msgspec
import pytest

from evidence.decision import Verdict
from rollout import routes, store
from streams import keys, registry, versions
from streams.db.engine import reading, writing
from streams.models import Declaration
from tests.rollout.examples import as_json
from tests.rollout.looking import NAME, SPEC, seen
from tests.web.test_routes import slug

YAML = {"content-type": "application/yaml"}
HERE = f"/v1/rollouts/{NAME}"
GOOD, BAD = (100, 25), (100, 200)


@pytest.fixture
def spam(place):
    """An installation that knows the model and both versions."""
    with writing(place.engine) as connection:
        declared = Declaration(model="spam", task="classification", classes=("ham", "spam"))
        registry.register(connection, declared, now_ms=0, by="ann")
        for label in ("41", "42"):
            versions.add_version(
                connection, "spam", label, digest=label[-1] * 64, body=versions.Body(), now_ms=1,
                by="ann",
            )  # fmt: skip
    return place


@pytest.fixture
def client(spam):
    with spam.client() as client:
        assert client.request("POST", "/v1/rollouts", content=SPEC, headers=YAML).status_code == 200
        yield client


@pytest.fixture
def live(client):
    """The rollout in its first canary."""
    assert decided(client, "start", key="begin").status_code == 200
    return client


def decided(client, action, *, key=None, tag=None, reason="it is time", **fields):
    """A decision on what the client sees now."""
    headers = {"If-Match": tag or client.get(HERE).headers["etag"]}
    headers["Idempotency-Key"] = key or f"{action}-{time.monotonic_ns()}"
    body = {"action": action, "reason": reason, **fields}
    return client.request("POST", f"{HERE}/decisions", json=body, headers=headers)


def looked(place, errors, *, of=2_000):
    return seen(place.engine, of=of, errors=errors, at_ms=time.time_ns() // 1_000_000)


def seqs(client):
    return [each["seq"] for each in client.get(f"{HERE}/decisions").json()["items"]]


def test_a_spec_in_yaml_or_json_is_a_draft(client):
    plain = as_json(SPEC)
    plain["metadata"]["name"] = "again/too"
    again = client.request("POST", "/v1/rollouts", json=plain)

    assert (again.status_code, again.json()["stage"]) == (200, "draft")
    assert client.get("/v1/rollouts/again/too").json()["rollout"] == "again/too"
    assert client.get("/v1/rollouts/again%2Ftoo/decisions").json()["items"] == []
    names = [each["rollout"] for each in client.get("/v1/rollouts").json()["items"]]
    assert sorted(names) == ["again/too", NAME]
    first = client.get("/v1/rollouts?limit=1").json()
    rest = client.get("/v1/rollouts", params={"cursor": first["next_cursor"]}).json()
    assert [each["rollout"] for page in (first, rest) for each in page["items"]] == names


def test_a_spec_with_an_error_names_field_and_line(client):
    text = SPEC.replace(b"guardrails: [errors]", b"guardrails: [eror]")
    said = client.request("POST", "/v1/rollouts", content=text, headers=YAML)
    taken = client.request("POST", "/v1/rollouts", content=SPEC, headers=YAML)
    form = client.request(
        "POST", "/v1/rollouts", content=SPEC, headers={"content-type": "text/plain"}
    )

    assert [slug(each) for each in (said, taken, form)] == [
        "bad-spec", "conflict", "unsupported-type",
    ]  # fmt: skip
    (fault,) = said.json()["errors"]
    assert (fault["pointer"], fault["line"]) == ("spec.guardrails[0]", 13)


def test_it_starts_and_shows_where_it_stands_and_what_it_waits_for(live):
    shown = live.get(HERE).json()

    assert (shown["stage"], shown["weight"], shown["seq"]) == ("canary", 20, 2)
    assert [each["reason"] for each in shown["waits"]] == [
        "dwell: 30m", "42: 0 of 200 units", "42: errors is not yet known (no-data)",
    ]  # fmt: skip
    assert seqs(live) == [1, 2]


def test_a_look_is_shown_with_each_arms_figure_and_cited_by_the_tag(live, spam):
    before = live.get(HERE).headers["etag"]
    look = looked(spam, GOOD)

    answer = live.get(HERE)
    again = live.get(HERE, headers={"If-None-Match": answer.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")
    (row,) = answer.json()["metrics"]
    assert answer.headers["etag"] != before
    assert answer.json()["snapshot"] == look.digest
    assert (row["champion"], row["challenger"]) == (100 / 1600, 25 / 400)
    assert row["lower"] < 0 < row["upper"] < row["limit"] == 0.1
    assert (row["state"], row["verdict"]) == ("held", Verdict.SAFE)
    (kept,) = live.get(f"{HERE}/looks").json()["items"]
    assert (kept["seq"], kept["metrics"]) == (0, [row])
    (point,) = live.get(f"{HERE}/series?metric=errors").json()["points"]
    assert point == kept


def test_a_promotion_that_nothing_proves_is_refused_until_somebody_answers_for_it(live, spam):
    blind = decided(live, "promote")
    looked(spam, BAD)
    harmful = decided(live, "promote")
    passed = decided(live, "promote", override=["errors"])

    assert [slug(each) for each in (blind, harmful)] == ["gate-not-met", "gate-not-met"]
    assert "errors: 42: not yet known, there is no data" in blind.json()["detail"]
    assert "errors: 42 crossed its limit (0.4" in harmful.json()["detail"]
    assert (passed.status_code, passed.json()["rollout"]["step"]) == (200, "canary[1]")
    with reading(spam.engine) as connection:
        cause = store.standing(connection, NAME).decisions[-1].cause
    assert (cause.name, cause.overrides, cause.snapshot[:7]) == ("local", ("errors",), "sha256:")


def test_what_is_proven_safe_needs_no_override(live, spam):
    looked(spam, GOOD)

    assert decided(live, "promote").json()["rollout"]["step"] == "canary[1]"


def test_the_same_key_gives_the_same_answer_and_decides_once(live):
    first = decided(live, "pause", key="k1")
    again = decided(live, "pause", key="k1", tag='"2.1.gone.0"')
    other = decided(live, "pause", key="k1", reason="another")
    assert (first.status_code, first.content) == (200, again.content)
    assert slug(other) == "key-reused"
    assert seqs(live) == [1, 2, 3]


def test_a_refusal_is_not_kept(live, spam):
    refused = decided(live, "promote", key="k2")
    looked(spam, GOOD)

    assert slug(refused) == "gate-not-met"
    assert decided(live, "promote", key="k2").status_code == 200


def test_who_has_not_seen_the_newest_decision_is_told_what_changed(live):
    tag = live.get(HERE).headers["etag"]
    decided(live, "pause", reason="merchant sale")

    stale = decided(live, "resume", tag=tag)

    assert slug(stale) == "stale-rollout"
    assert stale.json()["errors"] == [
        {"pointer": "/decisions/3", "detail": "pause by local: merchant sale"}
    ]
    assert decided(live, "resume", tag=stale.headers["etag"]).status_code == 200


def test_more_of_the_same_evidence_moves_nothing_and_another_verdict_does(live, spam):
    looked(spam, GOOD)
    tag = live.get(HERE).headers["etag"]
    looked(spam, (200, 50), of=4_000)
    newer = live.get(HERE).headers["etag"]
    same = decided(live, "pause", tag=tag)
    tag = live.get(HERE).headers["etag"]
    looked(spam, (200, 500), of=4_000)

    other = decided(live, "resume", tag=tag)

    assert (tag != newer, same.status_code) == (True, 200)
    assert slug(other) == "stale-rollout"
    assert {"pointer": "/metrics/errors", "detail": "42: crossed now"} in other.json()["errors"]


def test_a_rollback_needs_no_key_nothing_seen_and_no_reason(live, spam):
    decided(live, "pause")

    back = live.request("POST", f"{HERE}/decisions", json={"action": "rollback"})
    again = live.request("POST", f"{HERE}/decisions", json={"action": "rollback"})

    assert (back.status_code, back.json()["rollout"]["stage"]) == (200, "rolling-back")
    assert back.json()["decision"] == again.json()["decision"]
    assert back.json()["decision"]["because"] == "back to the champion"
    with reading(spam.engine) as connection:
        (table,) = routes.newest(connection)
    assert {arm.version for arm in table.arms if arm.hi > arm.lo} == {"41"}


CANNOT = [
    ({"action": "pause", "reason": "x"}, {"If-Match": "*"}, "idempotency-key-required"),
    ({"action": "pause", "reason": "x"}, {"Idempotency-Key": "k"}, "if-match-required"),
    ({"action": "pause"}, {}, "bad-decision"),
    ({"action": "explode"}, {}, "bad-decision"),
    ({"action": "pause", "reason": "\0"}, {}, "bad-decision"),
    ({"action": "pause", "reason": "x", "force": True}, {}, "bad-decision"),
    ({"action": "resume", "reason": "x"}, {}, "not-accepted"),
    ({"action": "promote", "reason": "x", "override": ["eror"]}, {}, "bad-decision"),
    ({"action": "rollback", "reason": "x", "arm": "43"}, {}, "bad-decision"),
    ({"action": "approve", "reason": "x", "revision": 2}, {}, "conflict"),
]


def test_what_cannot_be_decided_is_named(live):
    for body, given, problem in CANNOT:
        headers = given or {"If-Match": "*", "Idempotency-Key": "k"}
        answer = live.request("POST", f"{HERE}/decisions", json=body, headers=headers)
        assert (body, slug(answer)) == (body, problem)

    assert seqs(live) == [1, 2]


def test_an_approval_is_signed_by_whom_it_names_and_by_nobody_else(live, spam):
    looked(spam, GOOD)
    decided(live, "promote")
    looked(spam, (100, 100))
    decided(live, "promote")
    stranger, oncall = (keyed(spam, name) for name in ("stranger", "oncall"))
    headers = {"If-Match": "*", "Idempotency-Key": "s1"}
    body = {"action": "approve", "reason": "the numbers are fine"}

    refused = live.request("POST", f"{HERE}/decisions", json=body, headers=headers | stranger)
    signed = live.request("POST", f"{HERE}/decisions", json=body, headers=headers | oncall)

    assert slug(refused) == "not-yours"
    assert signed.json()["rollout"]["signed"] == ["oncall"]


def keyed(place, name, *scopes, models=("*",)):
    with writing(place.engine) as connection:
        made = keys.create(
            connection, name=name, scopes=scopes or ("rollouts:decide", "rollouts:read"),
            models=models, now_ms=1,
        )  # fmt: skip
    return {"Authorization": f"Bearer {made.token}"}


def test_a_key_reads_decides_and_sees_what_it_is_for(live, spam):
    reads = keyed(spam, "reads", "rollouts:read")
    other = keyed(spam, "other", models=("eta",))
    body = {"action": "rollback"}

    assert live.get(HERE, headers=reads).status_code == 200
    said = [
        live.request("POST", f"{HERE}/decisions", json=body, headers=reads),
        live.request("POST", f"{HERE}/decisions", json=body, headers=other),
        live.get(HERE, headers=other),
        live.request("POST", "/v1/rollouts", content=SPEC, headers=YAML | other),
    ]

    assert [slug(each) for each in said] == ["not-allowed"] * 4
    assert live.get("/v1/rollouts", headers=other).json()["items"] == []


def test_a_revision_holds_or_waits_for_a_second_person(live, spam):
    tag = live.get(HERE).headers["etag"]
    tighter = SPEC.replace(b"blindAfter: 3h", b"blindAfter: 1h")
    looser = SPEC.replace(b"blindAfter: 3h", b"blindAfter: 4h")
    path = f"{HERE}/spec?reason=nights"

    held = live.request("PUT", path, content=tighter, headers=YAML | {"If-Match": tag})
    stale = live.request("PUT", path, content=looser, headers=YAML | {"If-Match": tag})
    waits = live.request("PUT", path, content=looser, headers=YAML | {"If-Match": "*"})
    unseen = live.request("PUT", path, content=looser, headers=YAML)

    assert (held.status_code, held.json()["holds"]) == (200, True)
    assert [slug(stale), slug(unseen)] == ["stale-rollout", "if-match-required"]
    assert (waits.json()["holds"], live.get(HERE).json()["waiting_revision"]) == (False, 3)
    signed = live.request(
        "POST", f"{HERE}/decisions", json={"action": "approve", "reason": "ok", "revision": 3},
        headers={"If-Match": "*", "Idempotency-Key": "k"} | keyed(spam, "bob"),
    )  # fmt: skip
    assert signed.json()["rollout"]["revision"] == 3


UNREADABLE = [
    ("/v1/rollouts/none", "no-rollout"),
    ("/v1/rollouts/%00", "no-rollout"),
    ("/v1/rollouts/none/decisions", "no-rollout"),
    ("/v1/rollouts?limit=0", "bad-parameter"),
    ("/v1/rollouts?cursor=none", "bad-parameter"),
    (f"{HERE}/series?metric=none", "bad-parameter"),
]


def test_what_cannot_be_read_is_named(client):
    assert [(path, slug(client.get(path))) for path, _ in UNREADABLE] == UNREADABLE


def test_every_path_is_described(client):
    page = client.get("/openapi.json").json()
    paths = {path: sorted(found) for path, found in page["paths"].items() if "rollouts" in path}

    assert paths == {
        "/v1/rollouts": ["get", "post"],
        "/v1/rollouts/{name}": ["get"],
        "/v1/rollouts/{name}/decisions": ["get", "post"],
        "/v1/rollouts/{name}/looks": ["get"],
        "/v1/rollouts/{name}/series": ["get"],
        "/v1/rollouts/{name}/spec": ["put"],
    }
    text = json.dumps(page)
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= page["components"]["schemas"].keys()
    assert msgspec.json.decode(text)["openapi"].startswith("3.1")
