"""The route table decides while it is valid, whatever happens to the server; then the champion."""

import json
import os
import threading
import time
from collections import Counter
from email.utils import formatdate
from pathlib import Path

import msgspec
import pytest
from penstock_client import Client, Limits, routes
from penstock_client.reader import ReaderName
from penstock_client.route_cache import Cached, RouteCache
from penstock_client.table import Table, read

VECTORS = Path(__file__).parents[2] / "docs" / "vectors" / "assignment.json"
PUBLISHED = json.loads(VECTORS.read_bytes())["assigned"]


def table(share=1.0, *, version=3, life_s=600.0, **given) -> dict:
    """The JSON of a table that gives `share` of the accounts to version 42."""
    return {
        "model": "digits", "route": "default", "generation": 5, "version": version, "salt": "r-1",
        "unit": "account_id", "scope": {}, "mirror": 0.0,
        "arms": [{"arm": "42", "version": "42", "lo": 0.0, "hi": share, "confirm": False},
                 {"arm": "champion", "version": "40", "lo": 0.0, "hi": 1.0, "confirm": False}],
        "expires_at": int((time.time() + life_s) * 1000),
        **given,
    }  # fmt: skip


class Server:
    """Answers polls with the table it has; holds them while the client has that one."""

    def __init__(self, body: object, *, skew_s: float = 0.0) -> None:
        self.body = body
        self.skew_s = skew_s
        self.changed = threading.Event()
        self.ended = threading.Event()
        self.readers = []

    def publish(self, body: object) -> None:
        self.body = body
        self.changed.set()

    def __call__(self, handler) -> None:
        self.readers.append(handler.headers["Penstock-Reader"])
        content = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        etag = f'"{hash(content)}"'
        if handler.headers["If-None-Match"] == etag:
            self.changed.wait(5)
            self.changed.clear()
            if not self.ended.is_set():
                return self(handler)
        handler.send_response_only(200)
        handler.send_header("Date", formatdate(time.time() + self.skew_s, usegmt=True))
        handler.send_header("ETag", etag)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)
        return None


@pytest.fixture
def serve(remote):
    servers = []

    def with_table(body, **given):
        remote.route = Server(body, **given)
        servers.append(remote.route)
        return remote.route

    yield with_table
    for server in servers:
        server.ended.set()
        server.changed.set()


def decided(client, unit="account-1", **given):
    """(version, arm, route version) of one request."""
    got = client.assign(unit, **given)
    return got.version, got.arm, got.route_version


CHAMPION = ("41", "champion", None)  # the client's own
CHALLENGER = ("42", "42", 3)


@pytest.mark.parametrize("case", PUBLISHED, ids=lambda case: case["table"]["salt"])
def test_the_client_gives_the_published_arms(case):
    known = read(json.dumps(case["table"]).encode(), model="fraud-scorer", route="checkout")

    for asked in case["units"]:
        tags = tuple(asked["tags"].items())
        assert known.arm_of(asked["unit"], "any", tags).arm == asked["arm"]


def test_a_published_table_decides_and_its_version_goes_with_the_events_and_counts(
    connect, remote, serve, eventually
):
    serve(table(0.5))
    client = connect()
    eventually(lambda: decided(client, "warm-up") != CHAMPION)

    for k in range(40):
        client.record(client.assign(f"account-{k}"), label="7")
    client.flush()

    events = remote.of("prediction")
    arms = Counter((event["version"], event["arm"], event["route_version"]) for event in events)
    assert set(arms) == {("42", "42", 3), ("40", "champion", 3)}
    assert client.stats().route_version == 3
    counted = Counter()
    for event in remote.of("assigned"):
        if event.get("route_version") == 3:
            counted[event["arm"]] = max(counted[event["arm"]], event["assigned"])
    assert counted["42"] >= arms["42", "42", 3]


def test_after_an_outage_of_any_length_the_table_is_heard_soon(
    connect, returning, eventually, monkeypatch
):
    monkeypatch.setattr(routes, "_AWAY_S", 0.2)
    url, come_back = returning
    client = connect(url=url, limits=Limits(backoff_min_s=40))
    assert decided(client) == CHAMPION
    eventually(lambda: client._routes._failures >= 2)

    server = Server(table())
    come_back(server)
    eventually(lambda: decided(client) == CHALLENGER)

    server.ended.set()
    server.changed.set()


def test_a_new_table_is_heard_while_the_server_holds_the_poll(connect, remote, serve, eventually):
    server = serve(table(1.0))
    client = connect()
    eventually(lambda: decided(client) == CHALLENGER)

    server.publish(table(0.0, version=4))

    eventually(lambda: decided(client) == ("40", "champion", 4))
    path, headers = remote.polls[-1]
    assert path.startswith("/v1/routes/digits?route=default&wait=")
    assert headers["If-None-Match"]


def test_confirm_scope_and_unit_are_as_the_table_says(connect, serve, eventually):
    arms = table()["arms"]
    arms[0]["confirm"] = True
    serve(table(arms=arms, scope={"region": ["EU", "CH"]}))
    client = connect()
    eventually(lambda: client.stats().route_version or client.assign() is None)

    inside = client.assign("account-1", {"region": "CH"})
    outside = client.assign("account-1", tags={"region": "US"})
    nobody = client.assign(tags={"region": "EU"})

    assert (inside.version, inside.confirm) == ("42", True)
    assert (outside.version, outside.confirm, outside.route_version) == ("40", False, 3)
    assert (nobody.version, nobody.arm) == ("40", "champion"), "an account is drawn, or nobody"


def test_a_table_by_request_draws_each_request_by_its_id(connect, serve, eventually):
    serve(table(0.5, unit="request"))
    client = connect()
    eventually(lambda: client.assign().route_version == 3)

    arms = Counter(client.assign("account-1").arm for _ in range(400))

    assert 120 < arms["42"] < 280


def test_with_the_server_gone_for_good_traffic_ends_on_the_champion(
    connect, remote, serve, eventually
):
    serve(table(life_s=1.5))
    client = connect()
    eventually(lambda: decided(client) == CHALLENGER)
    remote.route = lambda handler: handler.reply(503, {"title": "away"})

    assert decided(client) == CHALLENGER
    eventually(lambda: decided(client) == CHAMPION)
    assert client.stats().route_version is None


@pytest.mark.parametrize("skew_s", [-3600, 3600])
def test_a_server_whose_clock_is_off_by_an_hour_is_understood(connect, serve, eventually, skew_s):
    serve(table(life_s=600 + skew_s), skew_s=skew_s)
    client = connect()
    eventually(lambda: decided(client) == CHALLENGER)

    left_s = client._routes._held.until_s - time.monotonic()

    assert 550 < left_s < 602


def test_no_table_is_valid_for_more_than_a_day(connect, serve, eventually):
    serve(table(life_s=10**9))
    client = connect()
    eventually(lambda: decided(client) == CHALLENGER)

    assert client._routes._held.until_s - time.monotonic() < 86_401


def test_the_next_process_starts_with_the_table_of_the_last_also_while_the_server_is_away(
    connect, remote, serve, eventually
):
    serve(table())
    first = connect()
    eventually(lambda: decided(first) == CHALLENGER)
    eventually(lambda: list(first._folder.glob("*.route")))
    first.close()
    remote.route = lambda handler: handler.reply(503, {"title": "away"})

    assert decided(connect()) == CHALLENGER, "its first request already"
    assert decided(connect(route="other")) == ("41", "champion", None)


def kept(client: Client, body: dict, *, until_s: float, received_s: float = -1.0) -> None:
    """What an earlier process of this service would have left on disk."""
    now_ms = int(time.time() * 1000)
    cached = Cached(
        now_ms + int(received_s * 1000), now_ms + int(until_s * 1000), '"e"',
        json.dumps(body).encode(),
    )  # fmt: skip
    rank = body["generation"], body["version"]
    RouteCache(client._folder, client._scope, client._route).write(cached, rank)


@pytest.mark.parametrize(
    ("until_s", "received_s", "expected"),
    [(60, -1, CHALLENGER), (-1, -60, CHAMPION), (7200, 3600, CHAMPION)],
    ids=["valid", "expired", "from the future"],
)
def test_a_kept_table_decides_only_while_it_is_valid(connect, until_s, received_s, expected):
    kept(connect(), table(), until_s=until_s, received_s=received_s)

    assert decided(connect()) == expected


@pytest.mark.parametrize("content", [b"", b"{", b'{"body": 1}', b"\xff" * 100])
def test_a_kept_table_that_cannot_be_read_is_none(connect, content):
    client = connect()
    kept(client, table(), until_s=60)
    [path] = client._folder.glob("*.route")
    path.write_bytes(content)

    assert decided(connect()) == CHAMPION


def test_a_folder_that_others_can_write_to_is_not_trusted(connect):
    client = connect()
    kept(client, table(), until_s=60)
    client._folder.chmod(0o777)

    assert decided(connect()) == CHAMPION


def test_what_is_kept_never_goes_back_whoever_writes_last(connect):
    client = connect()
    kept(client, table(version=4), until_s=60)
    kept(client, table(version=3), until_s=60)
    kept(client, table(version=9, generation=4), until_s=60)

    assert decided(connect()) == ("42", "42", 4)
    kept(client, table(version=1, generation=6), until_s=60)
    assert decided(connect()) == ("42", "42", 1)
    assert len(list(client._folder.glob("*.route"))) == 1


def test_a_table_that_is_older_than_ours_is_refused_and_told(connect, serve, eventually):
    server = serve(table())
    client = connect()
    eventually(lambda: decided(client) == CHALLENGER)

    server.publish(table(0.0, version=2))

    eventually(lambda: "older than ours" in (client.stats().last_fault or ""))
    assert decided(client) == CHALLENGER


def test_after_a_restore_the_higher_generation_counts(connect, serve, eventually):
    server = serve(table(version=9))
    client = connect()
    eventually(lambda: decided(client) == ("42", "42", 9))

    server.publish(table(0.0, version=1, generation=6))

    eventually(lambda: decided(client) == ("40", "champion", 1))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>Please sign in</html>", b"[]", b"\xff\xfe",
        table(model="other"), table(route="app"), table(arms=[]), table(version=0),
        table(arms=table()["arms"][:1]), table(expires_at="soon"), table(salt=None),
        table(arms=[{"arm": "champion", "version": "40", "lo": 0.5, "hi": 0.2}]),
        table(generation=2**70),
    ],
)  # fmt: skip
def test_what_is_no_table_of_ours_is_told_and_changes_nothing(connect, serve, eventually, body):
    serve(body)
    client = connect()
    assert decided(client) == CHAMPION

    eventually(lambda: "route table not understood" in (client.stats().last_fault or ""))
    assert decided(client) == CHAMPION


def test_fields_of_a_later_release_do_not_matter(connect, serve, eventually):
    serve(table(colour="green"))
    client = connect()

    eventually(lambda: decided(client) == CHALLENGER)


def test_a_pin_decides_and_asks_nobody(connect, remote, serve, monkeypatch):
    serve(table())
    monkeypatch.setenv("PENSTOCK_PIN", "39")
    client = connect()

    assert decided(client) == ("39", "champion", None)
    time.sleep(0.2)
    assert remote.polls == []


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_a_server_that_knows_no_routes_is_not_asked_in_a_hurry(connect, remote, status):
    remote.route = lambda handler: handler.reply(status, {})
    client = connect(limits=msgspec.structs.replace(connect()._limits, backoff_min_s=5,
                                                    backoff_max_s=5))  # fmt: skip

    for _ in range(40):
        assert decided(client) == CHAMPION
        time.sleep(0.01)

    assert len(remote.polls) == 1


def test_a_server_that_lets_polls_hang_makes_no_request_wait(connect, remote):
    release = threading.Event()
    remote.route = lambda _: release.wait(20)
    client = connect()
    client.assign("account-1")

    began = time.perf_counter()
    for k in range(2_000):
        client.assign(f"account-{k}")
    each_s = (time.perf_counter() - began) / 2_000
    began = time.perf_counter()
    client.close(0.5)
    closing_s = time.perf_counter() - began
    release.set()

    assert each_s < 0.001
    assert closing_s < 2
    client._routes._standby._thread.join(2)
    assert not client._routes._standby._thread.is_alive()


def test_a_forked_child_decides_as_its_parent_from_its_first_request(connect, serve, eventually):
    server = serve(table())
    client = connect()
    eventually(lambda: decided(client) == CHALLENGER)

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, repr(decided(client) == CHALLENGER).encode())
        os._exit(0)
    os.waitpid(child, 0)
    said = os.read(reading, 100)
    for end in (reading, writing):
        os.close(end)
    server.publish(table(0.0, version=4))

    assert said == b"True"
    eventually(lambda: decided(client) == ("40", "champion", 4))


def test_a_process_reads_under_the_name_of_the_one_before_it(connect, serve, eventually):
    server = serve(table(0.0))
    for _ in range(2):
        client = connect()
        decided(client)
        eventually(lambda: client._routes.table is not None)  # noqa: B023
        client.close()
        client._routes._standby._thread.join(10)

    assert len(server.readers) >= 2
    assert len(set(server.readers)) == 1


def test_no_two_that_live_read_under_one_name(tmp_path):
    names = [ReaderName(tmp_path / "state", "scope", "default") for _ in range(3)]
    first, second, third = (name.claim() for name in names)
    names[1].release()  # as the death of its process does

    assert len({first, second, third}) == 3
    assert ReaderName(tmp_path / "state", "scope", "default").claim() == second
    assert names[0].claim() == first
    assert ReaderName(tmp_path / "state", "scope", "other").claim() not in {first, second, third}


def test_where_no_file_can_be_a_name_dies_with_its_process(tmp_path):
    (tmp_path / "state").touch()
    names = [ReaderName(tmp_path / "state", "scope", "default") for _ in range(2)]

    assert names[0].claim() == names[0].claim() != names[1].claim()


def test_events_that_go_to_kafka_are_routed_by_the_server_that_is_named(
    remote, serve, eventually, tmp_path
):
    serve(table())
    given = {"champion": "41", "state_dir": tmp_path}
    with Client("kafka://127.0.0.1:1/events", "digits", routes_url=remote.url, key="ps_a_b",
                **given) as client:  # fmt: skip
        eventually(lambda: decided(client) == CHALLENGER)
        client.close(0)
    with Client("kafka://127.0.0.1:1/events", "digits", **given) as client:
        assert decided(client) == CHAMPION, "without one nobody is asked"
        client.close(0)

    assert remote.polls[0][1]["Authorization"] == "Bearer ps_a_b"


def test_tags_of_any_kind_leave_a_request_out_of_scope():
    scoped = msgspec.convert(table(scope={"region": ["EU"]}), Table)

    for value in (None, 1, [], object(), float("nan")):
        assert scoped.arm_of("u", "p", (("region", value),)).arm == "champion"


def test_a_file_that_a_killed_process_left_half_written_goes_with_the_next_table(connect):
    client = connect()
    kept(client, table(), until_s=60)
    [path] = client._folder.glob("*.route")
    left, fresh = (path.with_name(f"{path.name}.{pid}-aa") for pid in (1, 2))
    left.write_bytes(b"{")
    os.utime(left, (time.time() - 120,) * 2)
    fresh.write_bytes(b"{")

    kept(client, table(version=4), until_s=60)

    assert (left.exists(), fresh.exists(), path.exists()) == (False, True, False)
    assert decided(connect()) == ("42", "42", 4)


def test_a_name_outlives_every_table_that_is_kept_beside_it(tmp_path):
    folder = tmp_path / "state"
    name = ReaderName(folder, "scope", "default")
    name.claim()
    (kept,) = folder.iterdir()
    os.utime(kept, (1, 1))  # long ago
    RouteCache(folder, "scope", "default").write(Cached(0, 1, '"1"', b"{}"), (1, 1))

    assert kept.exists()
    name.release()
