"""The demo's folder, and what is kept in it from run to run."""

import shlex
from pathlib import Path

import msgspec

from penstock.demo.models import Fault
from penstock.settings import Settings, read_settings
from streams.errors import ConfigError
from streams.models import DAY_MS, MINUTE_MS, duration_ms

LATENESS_MS = 600_000
"""Of domain time: a second of the wall's at the usual speed."""
PARTITIONS = 2
"""One intake reads them all; with fewer of them less is written for each minute."""


class Story(msgspec.Struct, frozen=True):
    """What is told, and how fast."""

    seed: int
    fault: Fault  # of v3
    rate_per_s: int  # requests per second of wall time
    speed: float  # how many times as fast the sorting floor lives as we do
    port: int
    cluster: bool = False  # on Kafka and PostgreSQL

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def challengers(self) -> tuple[str, ...]:
        """Who is rolled out, in this order, until one of them is promoted."""
        return ("v3",) if self.cluster else ("v3", "v2")

    @property
    def clock(self) -> float:
        """Domain time per wall time. Kafka's brokers know the wall's time only."""
        return 1.0 if self.cluster else self.speed

    def span(self, text: str) -> str:
        """A duration of the sorting floor's as declarations and specs give it to Penstock.

        None is shorter than a pane, which is a minute long whatever the clock.
        """
        if not self.cluster:
            return text
        return f"{max(MINUTE_MS, self.span_ms(duration_ms(text))) // 1000}s"

    def span_ms(self, domain_ms: int) -> int:
        """The same of one in ms: where the clock cannot hurry, everything else does."""
        return int(domain_ms / self.speed) if self.cluster else domain_ms

    @property
    def parcels_per_day(self) -> float:
        """Of the sorting floor's days."""
        return self.rate_per_s * DAY_MS / 1000 / self.speed


class Folder:
    """Where everything of one demo is. `make` prepares it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.penstock = root / "penstock"  # the installation's own
        self.cluster = root / "cluster"  # broker, database and roles, where it runs on these
        self.models = root / "models"
        self.client = root / "client"
        self.rollouts = root / "rollouts"
        self.deployed = root / "deployed"  # the version that answers beside the assigned one
        self.closing = root / "closing"  # is there once the service takes no more requests
        self.journal = root / "journal.jsonl"
        self.up_log = root / "up.log"
        self._story = root / "story.json"

    def make(self) -> None:
        """It exists; ConfigError when it is some other folder."""
        if self.root.is_dir() and any(self.root.iterdir()) and not self._story.exists():
            raise ConfigError(
                f"{self.root} is not empty and holds no demo",
                why="the demo keeps its installation, models and journal there",
                fix="--data with an empty folder, or one that an earlier demo made",
            )
        for folder in (self.models, self.client, self.rollouts):
            folder.mkdir(parents=True, exist_ok=True)

    def kept(self) -> Story | None:
        """The story that was told here before, if any."""
        try:
            return msgspec.json.decode(self._story.read_bytes(), type=Story)
        except FileNotFoundError:
            return None

    def keep(self, story: Story) -> None:
        """The next run knows of `story`."""
        _write(self._story, msgspec.json.encode(story))

    def deploy(self, version: str) -> None:
        """The service runs `version` too from now on; of a champion nothing changes."""
        _write(self.deployed, version.encode())

    def beside(self) -> str | None:
        """The version that was deployed last, if any."""
        try:
            return self.deployed.read_text()
        except FileNotFoundError:
            return None

    def close(self) -> None:
        """The service takes no more requests."""
        self.closing.touch()

    def settings(self, story: Story) -> Settings:
        """Those of this demo's installation; on a cluster that is not up, FileNotFoundError."""
        return read_settings(self.environ(story))

    def environ(self, story: Story) -> dict[str, str]:
        """The same as the environment gives them."""
        if story.cluster:
            lines = (self.cluster / "env").read_text().splitlines()
            return dict(shlex.split(line)[1].split("=", 1) for line in lines)
        return {
            "PENSTOCK_DATA_DIR": str(self.penstock),
            "PENSTOCK_PORT": str(story.port),
            "PENSTOCK_SPEED": str(story.speed),
            "PENSTOCK_LATENESS_MS": str(LATENESS_MS),
            "PENSTOCK_PARTITIONS": str(PARTITIONS),
            "PENSTOCK_LOG_FORMAT": "text",
        }


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing, whoever reads meanwhile."""
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    beside.replace(path)
