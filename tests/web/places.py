"""A whole web application on a real log and a real database, in a folder of the test."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

import streams.tables  # noqa: F401 - its tables are on the metadata
from penstock.settings import Settings
from penstock.web.app import create_app
from streams import codec, keys
from streams.db.clock import Clock
from streams.db.engine import connect, writing
from streams.db.metadata import metadata
from streams.events import AnyEvent, Refused
from streams.logs.embedded import EmbeddedLog
from streams.logs.group_commit import GroupCommit
from streams.topics import EVENTS

LOCAL = ("127.0.0.1", 50000)


class Place:
    """One installation: its log, its results and its app."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.settings = Settings(data_dir=folder, **{"disk_reserve_bytes": 0, **settings})  # type: ignore[arg-type]
        self.log = EmbeddedLog(self.settings.log_path, clock=Clock())
        self.log.ensure(EVENTS.name, self.settings.partitions)
        self.engine = connect(self.settings.database)
        metadata.create_all(self.engine)
        self.commits = GroupCommit(self.log)
        self.app = create_app(
            settings=self.settings,
            log=self.log,
            commits=self.commits,
            engine=self.engine,
            checks={},
        )

    def close(self) -> None:
        self.commits.close()
        self.log.close()
        self.engine.dispose()

    @contextmanager
    def client(self, *, address: tuple[str, int] = LOCAL) -> Iterator["Client"]:
        """Requests to the running app, as if they came from `address`."""
        with asyncio.Runner() as runner:
            lifespan = self.app.router.lifespan_context(self.app)
            runner.run(lifespan.__aenter__())
            transport = httpx.ASGITransport(self.app, client=address, raise_app_exceptions=False)
            try:
                yield Client(
                    runner, httpx.AsyncClient(transport=transport, base_url="http://localhost:8080")
                )
            finally:
                runner.run(lifespan.__aexit__(None, None, None))

    def key(self, *scopes: str, models: tuple[str, ...] = ("*",)) -> dict[str, str]:
        """The headers of a new key."""
        with writing(self.engine) as connection:
            made = keys.create(
                connection, name=f"k{scopes}{models}", scopes=scopes, models=models, now_ms=1
            )
        return {"Authorization": f"Bearer {made.token}"}

    def key_id(self, headers: Mapping[str, str]) -> str:
        return headers["Authorization"].split("_")[1]

    def kept(self) -> tuple[list[tuple[int, AnyEvent]], list[Refused], list[codec.Decoded]]:
        """The events in the log with their partitions, the refused ones, and the envelopes."""
        reader = self.log.reader(EVENTS.name, group="test")
        for partition, bounds in self.log.bounds(EVENTS.name).items():
            reader.seek(partition, bounds.begin)
        events: list[tuple[int, AnyEvent]] = []
        refused: list[Refused] = []
        envelopes: list[codec.Decoded] = []
        while records := reader.poll(max_bytes=1 << 26, timeout_s=0):
            for record in records:
                decoded, bad = codec.decode_record(record.value)
                assert not decoded.bad
                events += [(record.partition, event) for event in decoded.events]
                refused += [event for _, event in bad]
                envelopes.append(decoded)
        reader.close()
        return events, refused, envelopes


class Client:
    """httpx's verbs, run to their end."""

    def __init__(self, runner: asyncio.Runner, http: httpx.AsyncClient) -> None:
        self._runner = runner
        self._http = http

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        return self._runner.run(self._http.request(method, path, **arguments))

    def get(self, path: str, **arguments: Any) -> httpx.Response:
        return self.request("GET", path, **arguments)

    def send(self, body: bytes, **headers: str) -> httpx.Response:
        """A POST to /v1/events; `_` in a header's name stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", "/v1/events", content=body, headers=named)

    def send_together(
        self, *bodies: bytes, headers: Sequence[Mapping[str, str]] = ()
    ) -> list[httpx.Response]:
        """Several POSTs at the same time, each with its own headers if they are given."""

        async def together() -> list[httpx.Response]:
            posts = [
                self._http.post("/v1/events", content=body, headers=headers[k] if headers else {})
                for k, body in enumerate(bodies)
            ]
            return list(await asyncio.gather(*posts))

        return self._runner.run(together())

    def wait(self, seconds: float) -> None:
        """The app runs on for a while."""
        self._runner.run(asyncio.sleep(seconds))


def prediction(i: int = 0, **fields: object) -> dict[str, object]:
    """A good event as a client would write it."""
    return {
        "type": "io.penstock.prediction.v1",
        "model": "mailguard",
        "prediction_id": f"p-{i}",
        "version": "43",
        "time": 1_760_000_000_000 + i,
        "output": {"label": "spam", "score": 0.91},
        **fields,
    }


def lines(*events: object) -> bytes:
    return b"\n".join(msgspec.json.encode(event) for event in events)
