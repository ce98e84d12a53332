"""A real PostgreSQL for tests and benchmarks: a server of this machine, or one that is given.

`start()` runs a throw-away server (`deploy/postgres_local`). `PENSTOCK_TEST_POSTGRES` (a URL whose
user may create databases) is used instead where it is set.
"""

import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import URL, make_url

from deploy import postgres_local
from deploy.postgres_local import MissingError

__all__ = ["MissingError", "Server", "free_port", "start"]

_LASTING = ("fsync=off", "full_page_writes=off", "max_connections=60")
_FOR_TESTS = (*_LASTING, "synchronous_commit=off")


class Server:
    """A server that answers at `address`; `stop` ends it if it is ours."""

    def __init__(self, address: URL, own: postgres_local.Server | None = None) -> None:
        self._address = address
        self._own = own
        self._templates: dict[Callable[[str], object], str] = {}
        self._kept = ExitStack()

    def url(self, database: str) -> str:
        return self._address.set(database=database).render_as_string(hide_password=False)

    @contextmanager
    def fresh(self, make: Callable[[str], object] | None = None) -> Iterator[str]:
        """The URL of a database that is gone afterwards.

        It is empty, or a copy of what `make` has made once of an empty one, given its URL.
        """
        name = f"test_{uuid.uuid4().hex}"
        like = "template0" if make is None else self._template(make)
        self._admin(f"CREATE DATABASE {name} TEMPLATE {like}")
        try:
            yield self.url(name)
        finally:
            self._admin(f"DROP DATABASE {name} WITH (FORCE)")

    def _template(self, make: Callable[[str], object]) -> str:
        if make not in self._templates:
            url = self._kept.enter_context(self.fresh())
            make(url)
            self._templates[make] = str(make_url(url).database)
        return self._templates[make]

    def stop(self) -> None:
        self._kept.close()
        if self._own is not None:
            self._own.stop()
            shutil.rmtree(self._own.folder)

    def cpu_s(self) -> float:
        """CPU seconds that the server and its sessions have used so far."""
        assert self._own is not None, "only a server of ours can be measured"
        return self._own.cpu_s()

    @contextmanager
    def away(self) -> Iterator[None]:
        """It has crashed, and is not started again before the end."""
        assert self._own is not None, "this server is not ours to stop"
        self._own.stop("immediate")
        try:
            yield
        finally:
            self._own.start()

    def restart(self, mode: str = "immediate") -> None:
        """It is up again; `immediate` is a crash: it forgets whatever it need not remember."""
        assert self._own is not None, "this server is not ours to restart"
        self._own.restart(mode)

    def _admin(self, statement: str) -> None:
        address = self._address.set(drivername="postgresql")
        with psycopg.connect(
            address.render_as_string(hide_password=False), autocommit=True
        ) as connection:
            connection.execute(statement)


def start(*, lasting: bool = False) -> Server:
    """A server to test against; MissingError says why there is none.

    One that is `lasting` keeps over a restart what was committed before it.
    """
    given = os.environ.get("PENSTOCK_TEST_POSTGRES")
    if given and not lasting:
        return Server(make_url(given).set(drivername="postgresql+psycopg"))
    binaries = postgres_local.find()
    folder = Path(tempfile.mkdtemp(prefix="penstock-postgres-"))
    settings = _LASTING if lasting else _FOR_TESTS
    own = postgres_local.Server(folder, port=free_port(), settings=settings, binaries=binaries)
    try:
        own.start()
    except BaseException:
        shutil.rmtree(folder)
        raise
    return Server(make_url(own.url("postgres")), own)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
