"""Live and ready are two questions; metrics and the pipe say how things stand."""

import msgspec

from penstock.web.app import DESCRIBED, SECURITY_HEADERS, create_app
from penstock.web.kinds import KINDS
from streams import positions, registry
from streams.db.engine import writing
from streams.models import Declaration
from tests.web.places import Place, lines, prediction


def test_it_is_live_and_ready_and_names_each_check(client):
    assert client.get("/healthz").json() == {"status": "live"}
    assert client.get("/readyz").json() == {
        "status": "ready",
        "checks": {"log": "ok", "disk": "ok", "results": "ok"},
    }


def test_a_full_disk_is_not_ready_but_live(tmp_path):
    place = Place(tmp_path, disk_reserve_bytes=1 << 60)

    with place.client() as client:
        ready, live = client.get("/readyz"), client.get("/healthz")

    assert (ready.status_code, live.status_code) == (503, 200)
    assert "kept in reserve" in ready.json()["checks"]["disk"]
    place.close()


def test_a_check_of_the_owner_counts(place):
    place.app = create_app(
        settings=place.settings, log=place.log, commits=place.commits, engine=place.engine,
        checks={"schema": lambda: "the schema is newer than this release"},
    )  # fmt: skip

    with place.client() as client:
        answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["checks"]["schema"] == "the schema is newer than this release"


def test_results_that_are_away_stop_readiness_and_nothing_else(place):
    with place.client() as client:
        place.engine.dispose()
        path = place.settings.data_dir / "penstock.db"
        path.rename(path.with_suffix(".away"))
        path.mkdir()
        client.wait(1.3)
        answer, taken = client.get("/readyz"), client.send(lines(prediction(1)))

    assert answer.status_code == 503
    assert answer.json()["checks"]["results"] != "ok"
    assert taken.status_code == 202


def test_the_pipe_tells_what_came_in_and_how_far_intake_is(place, client):
    client.send(b"\n".join([lines(prediction(1), prediction(2)), b"7"]))
    topic = place.log.state("events")
    ends = {partition: bounds.end for partition, bounds in place.log.bounds("events").items()}
    behind = max(ends, key=lambda partition: ends[partition])
    with writing(place.engine) as connection:
        claimed = positions.claim(
            connection, consumer="intake", topic=topic, partitions=range(12), owner="o", now_ms=1
        )
        moved = [positions.Moved(p, claimed[p].fence, 0, ends[p], 1) for p in ends if p != behind]
        positions.advance(connection, consumer="intake", topic="events", moved=moved, now_ms=1)

    client.wait(1.3)

    pipe = client.get("/v1/pipe").json()
    assert (pipe["accepted"], pipe["rejected"], pipe["taking"]) == (2, 1, True)
    assert {p: n for p, n in pipe["lag_records"].items() if n} == {str(behind): ends[behind]}
    assert f'penstock_intake_lag_records{{partition="{behind}"}} {ends[behind]:.1f}' in (
        client.get("/metrics").text
    )


def test_only_declared_models_have_a_series(place, client):
    with writing(place.engine) as connection:
        registry.register(
            connection, Declaration(model="eta", task="regression"), now_ms=1, by="test"
        )
    client.wait(1.3)

    client.send(lines(prediction(1, model="eta"), prediction(2, model='odd"} 1')))
    client.send(lines(prediction(3, model="eta"), prediction(4, model="another")))

    text = client.get("/metrics").text
    assert 'penstock_ingest_events_accepted_total{model="eta"} 2.0' in text
    assert 'penstock_ingest_events_accepted_total{model="observed"} 2.0' in text
    assert "another" not in text


def test_every_problem_has_a_page_that_the_index_lists(client):
    index = client.get("/problems").text

    for slug, kind in KINDS.items():
        page = client.get(f"/problems/{slug}")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert kind.title in page.text.replace("&#x27;", "'")
        assert f"/problems/{slug}" in index
    assert client.get("/problems/none").status_code == 404


def test_every_answer_carries_the_security_headers(client):
    for method, path in (
        ("GET", "/healthz"), ("GET", "/nowhere"), ("PUT", "/v1/events"), ("POST", "/v1/events"),
        ("GET", "/problems/not-found"), ("GET", "/openapi.json"), ("GET", "/metrics"),
    ):  # fmt: skip
        answer = client.request(method, path)
        assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert client.request("GET", "/nowhere").json()["type"] == "/problems/not-found"
    assert client.request("PUT", "/v1/events").json()["status"] == 405


def test_a_name_in_the_description_stands_for_one_schema():
    seen = {}

    for part in DESCRIBED:
        for name, schema in part.schemas().items():
            assert seen.setdefault(name, schema) == schema, f"{name} of {part.__name__}"


def test_the_api_is_described_with_the_decoders_own_schemas(client):
    described = client.get("/openapi.json").json()

    schemas = described["components"]["schemas"]
    assert described["openapi"].startswith("3.1")
    assert {"Prediction", "Label", "Feedback", "OutcomeMissing", "Assigned"} <= schemas.keys()
    named = msgspec.json.encode(described["paths"]).decode().split("#/components/schemas/")[1:]
    assert {part.partition('"')[0] for part in named} <= schemas.keys()
