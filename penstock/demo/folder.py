"""The demo's folder, and what is kept in it from run to run."""

import shlex
from pathlib import Path

import msgspec

from penstock.demo import script
from penstock.demo.script import Deed
from penstock.settings import Settings, read_settings
from streams.errors import ConfigError

LATENESS_MS = 30_000
"""Of domain time. The service's events are never far out of order."""


class Story(msgspec.Struct, frozen=True):
    """How far the story goes and how fast. A finished one is continued by raising `goal`."""

    seed: int
    goal: int  # requests
    rate_per_s: int  # requests per second of wall time
    speed: float  # how many times as fast the sorting floor lives as we do
    port: int
    cluster: bool = False  # on Kafka and PostgreSQL

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def clock(self) -> float:
        """Domain time per wall time. Kafka's brokers know the wall's time only."""
        return 1.0 if self.cluster else self.speed

    def after_ms(self, deed: Deed) -> int:
        """Domain time from a request to a deed; where the clock cannot hurry, the deeds do."""
        return int(deed.after_ms / self.speed) if self.cluster else deed.after_ms

    @property
    def tail_s(self) -> float:
        """Wall time from the last request to its last label."""
        return script.LATE_MS[1] / 1000 / self.speed


class Folder:
    """Where everything of one demo is. `make` prepares it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.penstock = root / "penstock"  # the installation's own
        self.cluster = root / "cluster"  # broker, database and roles, where it runs on these
        self.models = root / "models"
        self.client = root / "client"
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
        for folder in (self.models, self.client):
            folder.mkdir(parents=True, exist_ok=True)

    def kept(self) -> Story | None:
        """The story that was told here before, if any."""
        try:
            return msgspec.json.decode(self._story.read_bytes(), type=Story)
        except FileNotFoundError:
            return None

    def keep(self, story: Story) -> None:
        """The next run knows of `story`."""
        beside = self._story.with_suffix(".new")
        beside.write_bytes(msgspec.json.encode(story))
        beside.replace(self._story)

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
            "PENSTOCK_LOG_FORMAT": "text",
        }
