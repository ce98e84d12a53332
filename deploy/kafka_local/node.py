"""One node of a cluster: a Java process with a folder and ports of its own."""

import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from deploy.kafka_local.errors import BrokerError
from deploy.kafka_local.jars import HERE, Kit
from deploy.kafka_local.ports import listens
from deploy.kafka_local.properties import HOST, PLAIN
from deploy.watch import Watch

_START_S = 60.0
_STOP_S = 10.0
_HEAP = ("-Xms256m", "-Xmx512m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20")
_TOOL = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")  # lives for a second


class Node:
    """Broker and controller in one; it may be started, stopped and killed any number of times."""

    def __init__(self, number: int, folder: Path, *, ports: Mapping[str, int], kit: Kit) -> None:
        self.number = number
        self.folder = folder
        self.ports = ports
        self._kit = kit
        self._server: subprocess.Popen[bytes] | None = None
        self._watch: Watch | None = None

    @property
    def address(self) -> str:
        """Where it listens without TLS."""
        return f"{HOST}:{self.ports[PLAIN]}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def settings(self) -> Path:
        return self.folder / "server.properties"

    @property
    def pid(self) -> int:
        """Its process; BrokerError if it has none."""
        if self._server is None:
            raise BrokerError(f"node {self.number} is not running")
        return self._server.pid

    @property
    def running(self) -> bool:
        return self._server is not None and self._server.poll() is None

    def format(self, cluster_id: str, users: Mapping[str, str]) -> None:
        """Its folder is ready for a first start; one that is ready stays as it is."""
        if (self.data / "meta.properties").exists():
            return
        credentials = [
            word
            for name, password in users.items()
            for word in ("--add-scram", f'SCRAM-SHA-512=[name="{name}",password="{password}"]')
        ]
        tool = ("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self.settings))
        done = subprocess.run(
            [*self._kit.java_command(*_TOOL, *self._logging()), *tool, *credentials],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BrokerError(f"node {self.number} was not formatted: {done.stdout}{done.stderr}")

    def start(self) -> None:
        """It answers."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Its process runs; `wait` says when it answers."""
        if self.running:
            raise BrokerError(f"node {self.number} is running already")
        self._forget()
        java = self._kit.java_command(*_HEAP, *self._logging())
        with (self.folder / "output").open("ab") as output:
            self._server = subprocess.Popen(
                [*java, "kafka.Kafka", str(self.settings)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the one who started it
            )
        self._watch = Watch(self._server.pid, signal.SIGKILL)

    def wait(self, timeout_s: float = _START_S) -> None:
        """It answers and takes part in its cluster; BrokerError, with its log, if it will not."""
        deadline = time.monotonic() + timeout_s
        while self.running and time.monotonic() < deadline:
            if listens(self.ports[PLAIN]) and self._takes_part():
                return
            time.sleep(0.05)
        why = "does not answer" if self.running else "ended at once"
        self.kill()
        raise BrokerError(f"node {self.number} {why}:\n{self.log()}")

    def log(self) -> str:
        """The end of what it said."""
        said = (self.folder / name for name in ("server.log", "output"))
        return "".join(path.read_text()[-4_000:] for path in said if path.exists())

    def ask_to_stop(self) -> None:
        """SIGTERM is sent, if it runs."""
        if self._server is not None:
            self._server.send_signal(signal.SIGTERM)

    def stop(self, grace_s: float = _STOP_S) -> None:
        """Its process is gone: SIGTERM, and SIGKILL for one that takes longer than the grace."""
        self.ask_to_stop()
        if self._server is not None:
            try:
                self._server.wait(grace_s)
            except subprocess.TimeoutExpired:
                self._server.kill()
        self._forget()

    def kill(self) -> None:
        """Its process is gone, without a word."""
        if self._server is not None:
            self._server.kill()
        self._forget()

    def _forget(self) -> None:
        # The watch goes first: the process it names must not have been given to another by then.
        if self._watch is not None:
            self._watch.end()
        if self._server is not None:
            self._server.wait()
        self._watch = self._server = None

    def _takes_part(self) -> bool:
        made: list[KafkaNetClient] = []

        def remembered(**configs: Any) -> KafkaNetClient:
            made.append(KafkaNetClient(**configs))
            return made[-1]

        try:
            admin = KafkaAdminClient(
                bootstrap_servers=self.address,
                bootstrap_timeout_ms=2_000,
                request_timeout_ms=2_000,
                kafka_client=remembered,
            )
            brokers = admin.describe_cluster()["brokers"]
        except KafkaError:
            return False
        finally:
            for client in made:  # its own threads and sockets stay where the constructor raises
                client.close()
        return any(one["broker_id"] == self.number and not one["is_fenced"] for one in brokers)

    def _logging(self) -> tuple[str, ...]:
        rules = f"-Dlog4j2.configurationFile={(HERE / 'log4j2.properties').as_uri()}"
        return rules, f"-Dkafka.log={self.folder / 'server.log'}", "-Djava.awt.headless=true"
