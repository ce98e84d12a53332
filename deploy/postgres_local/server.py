"""One server: a process with a folder and a port of its own."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from deploy.postgres_local.binaries import Binaries, find
from deploy.postgres_local.errors import ServerError
from deploy.watch import Watch

HOST = "127.0.0.1"
USER = "penstock"
_START_S = 60.0
_STOP_S = 20.0
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class Server:
    """It may be started and stopped any number of times; as a context it runs inside.

    Whoever reaches the port on this machine may do anything: for development and tests only.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        settings: Sequence[str] = (),
        binaries: Binaries | None = None,
    ) -> None:
        """Nothing runs yet, but the binaries are there (else MissingError).

        Args:
            folder: everything it writes is in there.
            port: where it listens, on this machine alone.
            settings: of `postgresql.conf`, as `name=value`.
            binaries: others than the newest.
        """
        self.folder = folder.absolute()
        self.port = port
        self.binaries = binaries or find()
        self._settings = tuple(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: Watch | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def pid(self) -> int:
        """Its process; ServerError if it has none."""
        if self._process is None:
            raise ServerError("PostgreSQL is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def url(self, database: str) -> str:
        """Where SQLAlchemy finds one of its databases."""
        return f"postgresql+psycopg://{USER}@{HOST}:{self.port}/{database}"

    def start(self) -> None:
        """It answers; its folder is made first if it is not there."""
        if self.running:
            raise ServerError("PostgreSQL is running already")
        if not (self.data / "PG_VERSION").exists():
            self._make()
        self._await_predecessor()
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C is for the one who started it
                **self.binaries.account.options(),
            )
        # As in a crash: what was committed is there at the next start.
        self._watch = Watch(self._process.pid, signal.SIGQUIT)
        self._await()

    def stop(self, mode: str = "fast") -> None:
        """Its process is gone: `immediate` is a crash, `fast` ends sessions, `smart` waits."""
        if self._process is not None:
            self._process.send_signal(_SIGNALS[mode])
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
        self._forget()

    def restart(self, mode: str = "immediate") -> None:
        """It is up again; `immediate` forgets whatever it need not remember."""
        self.stop(mode)
        self.start()

    def make_database(self, name: str) -> None:
        """A database of this name is there."""
        address = f"postgresql://{USER}@{HOST}:{self.port}/postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if found.fetchone() is None:
                create = sql.SQL("CREATE DATABASE {} TEMPLATE template0")
                connection.execute(create.format(sql.Identifier(name)))

    def log(self) -> str:
        """The end of what it said."""
        path = self.folder / "server.log"
        return path.read_text(errors="replace")[-4_000:] if path.exists() else ""

    def cpu_s(self) -> float:
        """CPU seconds of its own, of sessions that ended, and of those that live."""
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(stat.parent.name) == self.pid:
                ticks += sum(map(int, fields[11:15]))
            elif int(fields[1]) == self.pid:
                ticks += sum(map(int, fields[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def _make(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.binaries.account.take(self.folder)
        half = self.folder / "data.half"
        shutil.rmtree(half, ignore_errors=True)  # of an initdb that was cut off
        trusting = ("-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        done = subprocess.run(
            [self.binaries.folder / "initdb", "-D", half, *trusting],
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
            **self.binaries.account.options(),
        )
        if done.returncode:
            said = done.stderr.strip()
            raise ServerError(f"initdb could not make {half}: {said}{self._reach()}")
        half.rename(self.data)

    def _await_predecessor(self) -> None:
        """The server of a starter that was killed just now has ended too."""
        deadline = time.monotonic() + _STOP_S
        while (pid := self._holder()) and time.monotonic() < deadline:
            time.sleep(0.05)
        if pid:
            raise ServerError(f"{self.data} is in use by process {pid}: stop it first")

    def _holder(self) -> int | None:
        """The server that has the folder now, if any."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            os.kill(pid, 0)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return None
        except PermissionError:
            pass
        return pid

    def _command(self) -> list[str]:
        # By TCP alone: the name of a socket's file may not be longer than 107 bytes.
        own = (f"listen_addresses={HOST}", f"port={self.port}", "unix_socket_directories=")
        options = [word for option in (*own, *self._settings) for word in ("-c", option)]
        return [str(self.binaries.folder / "postgres"), "-D", str(self.data), *options]

    def _await(self) -> None:
        deadline = time.monotonic() + _START_S
        while self.running and time.monotonic() < deadline:
            if self._answers():
                return
            time.sleep(0.02)
        why = "does not answer" if self.running else "ended at once"
        self.stop("immediate")
        raise ServerError(f"PostgreSQL {why}:\n{self.log()}{self._reach()}")

    def _reach(self) -> str:
        """What root may have overlooked."""
        user = self.binaries.account.user
        if user is None:
            return ""
        return (
            f"\n(started by root, it runs as user {user}, who must be able to reach {self.folder})"
        )

    def _answers(self) -> bool:
        """Whether it takes sessions, and not another server that had the port before."""
        address = f"postgresql://{USER}@{HOST}:{self.port}/postgres"
        try:
            with psycopg.connect(address, connect_timeout=5) as connection:
                found = connection.execute("SHOW data_directory").fetchone()
        except psycopg.OperationalError:
            return False
        return found == (str(self.data),)

    def _forget(self) -> None:
        # The watch goes first: the process it names must not have been given to another by then.
        if self._watch is not None:
            self._watch.end()
        if self._process is not None:
            self._process.wait()
        self._watch = self._process = None
