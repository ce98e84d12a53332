"""`GET /v1/routes/{model}`: the newest table, once; a change is heard at once by whoever waits."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import msgspec
import pytest

from penstock.web.board import LOOK_S, Board, etag
from penstock.web.problems import Problem
from penstock.web.routes import known
from rollout import readers, routes
from rollout.assignment import RouteTable
from streams.db.engine import connect, reading, writing
from tests.web.places import lines, prediction
from tests.web.routed import now_ms, published
from tests.web.test_serve import Server

PATH = "/v1/routes/mailguard"
POLLS = 120


def slug(answer) -> str:
    return answer.json()["type"].removeprefix("/problems/")


def table_of(answer) -> RouteTable:
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=RouteTable)


def test_the_newest_table_is_answered_with_its_tag_and_not_again(place):
    published(place.engine, 0.02)
    newest = published(place.engine, 0.05, unit="account_id", scope={"region": ("EU",)})

    with place.client() as client:
        first = client.get(PATH)
        again = client.get(PATH, headers={"If-None-Match": first.headers["etag"]})
        weak = client.get(PATH, headers={"If-None-Match": f'"x", W/{first.headers["etag"]}'})
        other = client.get(PATH, headers={"If-None-Match": '"0.1.2"'})

    assert table_of(first) == table_of(other) == newest
    assert first.headers["etag"] == etag(newest)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag(newest))
    assert weak.status_code == 304


def test_each_route_has_its_own_table_and_a_name_may_hold_a_slash(place):
    app = published(place.engine, 0.5, route="app")
    slashed = published(place.engine, 0.5, model="mail/guard é")

    with place.client() as client:
        assert table_of(client.get(PATH, params={"route": "app"})) == app
        assert table_of(client.get("/v1/routes/mail%2Fguard%20%C3%A9")) == slashed
        assert slug(client.get(PATH)) == "no-route"


def test_a_renewed_table_is_told_again(place):
    table = published(place.engine, 0.05, valid_ms=1_000)

    with place.client() as client:
        first = client.get(PATH)
        with writing(place.engine) as connection:
            routes.renew(connection, now_ms=now_ms())
        client.wait(3 * LOOK_S)
        second = client.get(PATH, headers={"If-None-Match": first.headers["etag"]})

    assert table_of(second).expires_at > table.expires_at
    assert table_of(second).version == table.version


@pytest.mark.parametrize("is_first", [True, False])
def test_who_waits_hears_of_a_new_table_as_soon_as_it_is_published(place, is_first):
    known = {} if is_first else {"If-None-Match": etag(published(place.engine, 0.02))}
    with place.client() as client:
        timer = threading.Timer(0.3, published, (place.engine, 0.05))
        timer.start()
        began = time.monotonic()
        answer = client.get(PATH, params={"wait": 20}, headers=known)
        took_s = time.monotonic() - began
        timer.join()

    assert table_of(answer).version == (1 if is_first else 2)
    assert took_s < 0.3 + LOOK_S + 2


def test_who_waits_in_vain_is_told_that_nothing_changed(place):
    tag = etag(published(place.engine, 0.05, route="app"))

    with place.client() as client:
        began = time.monotonic()
        held = client.get(PATH, params={"wait": 0.2, "route": "app"},
                          headers={"If-None-Match": tag})  # fmt: skip
        missing = client.get(PATH, params={"wait": 0.2})
        took_s = time.monotonic() - began

    assert (held.status_code, slug(missing)) == (304, "no-route")
    assert 0.4 <= took_s < 5


def test_it_is_known_which_services_have_a_table_and_which_may_hold_the_one_before(place):
    def heard(table):
        with reading(place.engine) as connection:
            told = readers.heard(connection, "mailguard", "default", table.rank, now_ms=now_ms())
        return told.readers, told.confirmed

    def polls(*, tag="", name=""):
        headers = {"If-None-Match": tag, "Penstock-Reader": name}
        tag = client.get(PATH, headers=headers).headers["etag"]
        client.wait(3 * LOOK_S)
        return tag

    before = published(place.engine, 0.02)
    with place.client() as client:
        old = polls(name="a")
        polls(name="b")
        after = published(place.engine, 0.05)
        client.wait(3 * LOOK_S)
        given = polls(name="a", tag=old)
        assert heard(after) == (2, 0)  # it was given the new one, and has not said that it has it
        polls(name="a", tag=given)
        assert (heard(before), heard(after)) == ((2, 2), (2, 1))
        polls(tag=old)  # without a name: somebody held the old one, and somebody was given the new
        polls(tag=given)
        assert heard(after) == (4, 2)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"wait": "soon"}, "wait is 'soon'"),
        ({"wait": "31"}, "wait is '31'"),
        ({"wait": "-1"}, "wait is '-1'"),
        ({"wait": "nan"}, "wait is 'nan'"),
        ({"route": ""}, "route has 0 characters"),
        ({"route": "r" * 121}, "route has 121 characters"),
    ],
)
def test_a_parameter_that_cannot_be_is_named(client, params, field):
    answer = client.get(PATH, params=params)

    assert slug(answer) == "bad-parameter"
    assert field in answer.json()["detail"]


@pytest.mark.parametrize(
    ("scopes", "models", "status"),
    [
        (("events:write",), ("*",), 200),
        (("rollouts:read",), ("mailguard",), 200),
        (("admin",), ("*",), 200),
        (("labels:write",), ("*",), 403),
        (("events:write",), ("other",), 403),
    ],
)
def test_a_key_reads_the_routes_of_its_models(place, scopes, models, status):
    published(place.engine, 0.05)
    headers = place.key(*scopes, models=models)

    with place.client(address=("192.0.2.7", 5)) as client:
        assert client.get(PATH, headers=headers).status_code == status
        assert slug(client.get(PATH)) == "key-required"


def test_while_the_database_is_away_the_last_table_is_served(place):
    table = published(place.engine, 0.05)

    with place.client() as client:
        file = place.settings.data_dir / "penstock.db"
        place.engine.dispose()
        file.rename(file.with_suffix(".away"))
        file.mkdir()
        client.wait(3 * LOOK_S)
        assert table_of(client.get(PATH)) == table


def test_a_server_that_never_saw_the_tables_says_so_instead_of_denying_them(tmp_path):
    engine = connect(f"sqlite:///{tmp_path / 'missing' / 'no.db'}")
    board = Board(engine)

    board.look()

    assert not board.is_known
    with pytest.raises(Problem, match="routes-unavailable"):
        known(board)


def test_polls_past_the_room_for_them_are_answered_at_once(place):
    board = Board(place.engine, most_waiting=2)

    async def never():
        await asyncio.sleep(60)

    async def story():
        polls = [asyncio.create_task(board.changed(("m", "r"), 30, never)) for _ in range(2)]
        await asyncio.sleep(0)
        began = time.monotonic()
        await board.changed(("m", "r"), 30, never)
        took_s = time.monotonic() - began
        waiting = board.waiting
        for poll in polls:
            poll.cancel()
        await asyncio.gather(*polls, return_exceptions=True)
        return took_s, waiting, board.waiting

    took_s, waiting, left = asyncio.run(story())

    assert took_s < 5
    assert (waiting, left) == (2, 0)


def test_a_client_that_went_away_waits_no_longer(place):
    board = Board(place.engine)

    async def left():
        await asyncio.sleep(0.01)

    began = time.monotonic()
    asyncio.run(board.changed(("m", "r"), 30, left))

    assert time.monotonic() - began < 5
    assert board.waiting == 0


def test_the_openapi_page_describes_the_table(client):
    page = client.get("/openapi.json").json()

    described = page["paths"]["/v1/routes/{model}"]["get"]["responses"]["200"]["content"]
    name = described["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert set(page["components"]["schemas"][name]["properties"]) == set(
        RouteTable.__struct_fields__
    )


def test_hundreds_of_polls_neither_wait_for_nor_hold_up_ingest(tmp_path):
    server = Server(tmp_path)
    engine = connect(f"sqlite:///{tmp_path / 'penstock.db'}")
    known = etag(published(engine, 0.02))
    time.sleep(3 * LOOK_S)

    def send(i: int) -> float:
        began = time.monotonic()
        answer = httpx.post(server.url + "/v1/events", content=lines(prediction(i)))
        assert answer.status_code == 202
        return time.monotonic() - began

    async def poll(http: httpx.AsyncClient) -> int:
        answer = await http.get(server.url + PATH, params={"wait": 25},
                                headers={"If-None-Match": known})  # fmt: skip
        return table_of(answer).version

    async def polls() -> tuple[list[int], list[float]]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=40, limits=limits) as http:
            waiting = [asyncio.create_task(poll(http)) for _ in range(POLLS)]
            await asyncio.sleep(1.5)
            with ThreadPoolExecutor(1) as one:
                loop = asyncio.get_running_loop()
                while_waiting = [await loop.run_in_executor(one, send, i) for i in range(10)]
                await loop.run_in_executor(one, published, engine, 0.05)
                sending = [loop.run_in_executor(one, send, 10 + i) for i in range(20)]
                versions = await asyncio.gather(*waiting)
                return list(versions), while_waiting + list(await asyncio.gather(*sending))

    versions, took_s = asyncio.run(polls())
    engine.dispose()
    ended_s, errors = server.end()

    assert versions == [2] * POLLS
    assert max(took_s) < 10, sorted(took_s)[-5:]  # a poll is held for 25 s; others share our CPU
    assert ended_s < 10
    assert errors == ""
