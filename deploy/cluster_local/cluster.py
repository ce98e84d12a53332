"""Kafka, PostgreSQL and every role of docker-compose.yml as processes of this machine."""

import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy import kafka_local, postgres_local
from deploy.cluster_local.places import ports
from deploy.cluster_local.prometheus import Prometheus
from deploy.cluster_local.topology import Role, read, with_workers
from penstock import lock, status
from penstock.settings import Settings, read_settings
from penstock.supervisor import Supervisor
from streams.errors import Error, UnavailableError

HOST = "127.0.0.1"
DATABASE = "penstock"
UP_S = 60.0
GRACE_S = 5.0
POSTGRES_SETTINGS = ("max_connections=200",)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What kind of cluster."""

    workers: int = 2
    port: int | None = None  # of the web role; 8080 if it is free
    prometheus: bool = False


class Cluster:
    """An installation on a broker and a database of its own, all in one folder."""

    def __init__(self, folder: Path, options: Options, *, say: Say) -> None:
        """Nothing runs yet. Raises MissingError of either kind when Java or PostgreSQL is missing.

        Args:
            folder: everything it writes is in there, and stays.
            options: what kind.
            say: told, in one line, how it goes.
        """
        self.folder = folder.absolute()
        self.roles = with_workers(read(), options.workers)
        self._say = say
        # What each tells about itself has a port of its own, but for web, which has one already.
        telling = [role.name for role in self.roles if "PENSTOCK_OPS_PORT" in role.environ]
        self._ports = ports(self.folder, telling, web=options.port)
        self._kafka = kafka_local.Cluster(self.folder / "kafka", ports=[self._ports["kafka"]])
        self._postgres = postgres_local.Server(
            self.folder / "postgres", port=self._ports["postgres"], settings=POSTGRES_SETTINGS
        )
        self._prometheus = Prometheus(self.folder / "prometheus") if options.prometheus else None

    @property
    def environ(self) -> dict[str, str]:
        """The settings of the installation, for whoever works on it from outside."""
        return {
            "PENSTOCK_DATA_DIR": str(self.folder / "penstock"),
            "PENSTOCK_DATABASE_URL": self._postgres.url(DATABASE),
            "PENSTOCK_KAFKA_SERVERS": f"{HOST}:{self._ports['kafka']}",
            "PENSTOCK_PORT": str(self._ports["web"]),
        }

    @property
    def settings(self) -> Settings:
        return read_settings(self.environ)

    @property
    def env_file(self) -> Path:
        """`environ` as a shell reads it; there while the cluster is up."""
        return self.folder / "env"

    @contextmanager
    def up(self) -> Iterator[None]:
        """Every role runs, and is started again when it dies; nothing is left of it afterwards.

        Raises BrokerError, ServerError or Error when something does not start.
        """
        with lock.held(self.folder), ExitStack() as ends:
            (self.folder / "log").mkdir(exist_ok=True)
            self.env_file.unlink(missing_ok=True)
            self._say(
                f"PostgreSQL {self._postgres.binaries.version} starts at {self._at('postgres')}"
            )
            ends.enter_context(self._postgres)
            self._postgres.make_database(DATABASE)
            self._say(f"Kafka starts at {self._at('kafka')}")
            ends.enter_context(self._kafka)
            for role in self.roles:
                if role.is_once:
                    self._run(role)
            lasting = [role for role in self.roles if not role.is_once]
            ends.enter_context(self._supervised(lasting))
            if self._prometheus:
                targets = {role.name: self._told_at(role) for role in lasting}
                ends.enter_context(self._prometheus.running(self._ports["prometheus"], targets))
            self._await_web()
            self._keep_env()
            ends.callback(self.env_file.unlink, missing_ok=True)
            yield

    def failed(self) -> str:
        """Why the cluster cannot go on, or an empty string."""
        if not self._postgres.running:
            return f"PostgreSQL ended by itself:\n{self._postgres.log()}"
        gone = [node for node in self._kafka.nodes if not node.running]
        return f"Kafka ended by itself:\n{gone[0].log()}" if gone else ""

    def places(self) -> Iterator[tuple[str, str]]:
        """What runs where."""
        yield "Kafka", self._at("kafka")
        yield "PostgreSQL", self._postgres.url(DATABASE).replace("+psycopg", "")
        for role in self.roles:
            if not role.is_once:
                yield role.name, f"http://{self._told_at(role)}/readyz"
        if self._prometheus:
            yield "Prometheus", f"http://{self._at('prometheus')}"

    def _run(self, role: Role) -> None:
        """It has done what it does once."""
        self._say(f"penstock {' '.join(role.command)}")
        command = [sys.executable, "-m", "penstock.cli.main", *role.command]
        done = subprocess.run(
            command, env=self._environ(role), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Error(f"penstock {' '.join(role.command)} failed", why=done.stderr.strip())

    @contextmanager
    def _supervised(self, roles: Sequence[Role]) -> Iterator[None]:
        """They run; one that dies is started again."""
        self._say(f"{', '.join(role.name for role in roles)} start")
        by_name = {role.name: role for role in roles}
        supervisor = Supervisor(
            list(by_name),
            lambda name: self._command(by_name[name]),
            say=self._say,
            environ=lambda name: self._environ(by_name[name]),
            grace_s=GRACE_S,
        )
        stop = threading.Event()
        thread = threading.Thread(target=supervisor.run, args=(stop,), name="supervisor")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _command(self, role: Role) -> list[str]:
        tethered = [sys.executable, "-m", "deploy.cluster_local.tethered"]
        return [*tethered, str(self.folder / "log" / f"{role.name}.log"), *role.command]

    def _environ(self, role: Role) -> dict[str, str]:
        """As docker-compose.yml says, with this machine's addresses for those of containers."""
        kept = {name: value for name, value in os.environ.items() if not _is_ours(name)}
        told = {name: value for name, value in role.environ.items() if not _is_address(name)}
        if "PENSTOCK_OPS_PORT" in role.environ:
            told["PENSTOCK_OPS_PORT"] = str(self._ports[role.name])
        return kept | told | self.environ

    def _told_at(self, role: Role) -> str:
        """Where the role tells how it does."""
        return self._at(role.name if "PENSTOCK_OPS_PORT" in role.environ else "web")

    def _at(self, name: str) -> str:
        return f"{HOST}:{self._ports[name]}"

    def _await_web(self) -> None:
        deadline = time.monotonic() + UP_S
        while not status.is_up(self.settings):
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"web does not answer within {UP_S:g} s", fix=f"see {self.folder / 'log'}"
                )
            time.sleep(0.1)

    def _keep_env(self) -> None:
        beside = self.env_file.with_suffix(".new")
        beside.write_text(
            "".join(f"export {k}={shlex.quote(v)}\n" for k, v in self.environ.items())
        )
        beside.replace(self.env_file)


def _is_ours(name: str) -> bool:
    return name.startswith("PENSTOCK_")


def _is_address(name: str) -> bool:
    """Whether a setting says where something is, which differs outside of containers."""
    return name.removeprefix("PENSTOCK_") in {
        "KAFKA_SERVERS", "DATABASE_URL_FILE", "HOST", "OPS_HOST",
    }  # fmt: skip
