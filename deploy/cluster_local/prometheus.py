"""The machine's own Prometheus, if it has one, on the jobs and rules of deploy/prometheus."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from deploy.kafka_local.ports import listens
from deploy.watch import Watch
from streams.errors import ConfigError, UnavailableError

CONFIG = Path(__file__).parents[1] / "prometheus" / "prometheus.yml"
_START_S = 20.0
_STOP_S = 5.0


class Prometheus:
    """It keeps what it saw in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Nothing runs yet. Raises ConfigError when the machine has no Prometheus."""
        found = shutil.which("prometheus")
        if found is None:
            raise ConfigError(
                "there is no prometheus on PATH",
                fix="install it (Debian: apt-get install prometheus), or leave --prometheus out",
            )
        self._binary = found
        self._folder = folder

    @contextmanager
    def running(self, port: int, targets: Mapping[str, str]) -> Iterator[None]:
        """It asks every role where that tells how it does; `targets` are these places by role."""
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(placed(yaml.safe_load(CONFIG.read_text()), targets)))
        with (self._folder / "output").open("wb") as output:
            process = subprocess.Popen(
                [
                    self._binary,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the one who started it
            )
        watch = Watch(process.pid, signal.SIGKILL)
        try:
            self._await(process, port)
            yield
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
            watch.end()
            process.wait()

    def _await(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        deadline = time.monotonic() + _START_S
        while not listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                said = (self._folder / "output").read_text(errors="replace")[-2_000:]
                raise UnavailableError("Prometheus does not start", why=said)
            time.sleep(0.05)


def placed(config: dict[str, Any], targets: Mapping[str, str]) -> dict[str, Any]:
    """The same jobs and rules, with each target's place on this machine for its name.

    Every worker of `targets` is asked, however many docker-compose.yml has.
    """
    config["rule_files"] = [str(CONFIG.parent / name) for name in config["rule_files"]]
    for job in config["scrape_configs"]:
        kind = job["job_name"]
        asked = [place for role, place in targets.items() if role.partition("-")[0] == kind]
        job["static_configs"] = [{"targets": asked}]
    return config
