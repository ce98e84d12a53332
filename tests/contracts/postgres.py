"""A real PostgreSQL for tests and benchmarks: the machine's own binaries, or a server given.

`start()` runs a throw-away server from the newest binaries found, as an unprivileged account
when we are root. `PENSTOCK_TEST_POSTGRES` (a URL whose user may create databases) is used instead
where it is set.
"""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL, make_url

_START_S = 60.0
_LASTING = ("fsync=off", "full_page_writes=off", "max_connections=60")
_FOR_TESTS = (*_LASTING, "synchronous_commit=off")
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class MissingError(Exception):
    """There is no PostgreSQL to be had here."""


class Server:
    """A server that answers at `address`; `stop` ends it if it is ours."""

    def __init__(self, address: URL, process: "_Process | None" = None) -> None:
        self._address = address
        self._process = process

    def url(self, database: str) -> str:
        return self._address.set(database=database).render_as_string(hide_password=False)

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """The URL of an empty database that is gone afterwards."""
        name = f"test_{uuid.uuid4().hex}"
        self._admin(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            yield self.url(name)
        finally:
            self._admin(f"DROP DATABASE {name} WITH (FORCE)")

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def cpu_s(self) -> float:
        """CPU seconds that the server and its sessions have used so far."""
        assert self._process is not None, "only a server of ours can be measured"
        return self._process.cpu_s()

    def restart(self, mode: str = "immediate") -> None:
        """It is up again; `immediate` is a crash: it forgets whatever it need not remember."""
        assert self._process is not None, "this server is not ours to restart"
        self._process.restart(mode)

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
    process = _Process(_binaries(), _LASTING if lasting else _FOR_TESTS)
    address = URL.create(
        "postgresql+psycopg", "penstock", host="127.0.0.1", port=process.port, database="postgres"
    )
    return Server(address, process)


def _binaries() -> Path:
    """The folder of the newest server on this machine."""
    places = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr/local/pgsql").glob("bin")]
    if on_path := shutil.which("initdb"):
        places.append(Path(on_path).resolve().parent)
    found = [place for place in places if (place / "initdb").exists()]
    if not found:
        raise MissingError("no initdb on PATH or in /usr/lib/postgresql: install PostgreSQL")
    return max(found, key=_version)


def _version(binaries: Path) -> tuple[int, ...]:
    said = subprocess.run(
        [binaries / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout
    return tuple(map(int, re.findall(r"\d+", said)))


class _Process:
    """A server process with a folder of its own."""

    def __init__(self, binaries: Path, settings: tuple[str, ...]) -> None:
        self._binaries = binaries
        self._settings = settings
        self._folder = Path(tempfile.mkdtemp(prefix="penstock-postgres-"))
        self._account = _account()
        if self._account:
            shutil.chown(self._folder, self._account["user"], self._account["group"])
        self._run(binaries, "initdb", "-U", "penstock", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.port = free_port()
        self._log = (self._folder / "server.log").open("wb")
        self._server = self._started()
        self._await()

    def _started(self) -> "subprocess.Popen[bytes]":
        options = ("listen_addresses=127.0.0.1", f"unix_socket_directories={self._folder}")
        return subprocess.Popen(
            [self._binaries / "postgres", "-D", self._data, "-p", str(self.port)]
            + [word for option in (*options, *self._settings) for word in ("-c", option)],
            stdout=self._log,
            stderr=self._log,
            cwd=self._folder,
            **self._account,
        )

    def cpu_s(self) -> float:
        """Its own, that of children that ended, and that of those that live."""
        own = self._server.pid
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(stat.parent.name) == own:
                ticks += sum(map(int, fields[11:15]))
            elif int(fields[1]) == own:
                ticks += sum(map(int, fields[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def restart(self, mode: str) -> None:
        self._server.send_signal(_SIGNALS[mode])
        self._server.wait(20)
        self._server = self._started()
        self._await()

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def stop(self) -> None:
        self._server.send_signal(signal.SIGINT)  # ends sessions, then itself
        try:
            self._server.wait(20)
        except subprocess.TimeoutExpired:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait()
        self._log.close()
        shutil.rmtree(self._folder)

    def _run(self, binaries: Path, command: str, *arguments: str) -> None:
        done = subprocess.run(
            [binaries / command, "-D", self._data, "--locale=C", *arguments],
            capture_output=True,
            text=True,
            cwd=self._folder,
            **self._account,
            check=False,
        )
        if done.returncode:
            shutil.rmtree(self._folder)
            raise MissingError(f"{command} failed: {done.stderr}")

    def _await(self) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._server.poll() is None:
            try:
                psycopg.connect(
                    host="127.0.0.1", port=self.port, user="penstock", dbname="postgres"
                ).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return
        said = (self._folder / "server.log").read_text()
        if self._server.poll() is None:
            self._server.kill()
        self._server.wait()
        self._log.close()
        shutil.rmtree(self._folder)
        raise MissingError(f"PostgreSQL did not start: {said}")


def _account() -> dict[str, Any]:
    """Whom to run as: initdb refuses root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise MissingError("PostgreSQL does not run as root and there is no account to run it as")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
