"""A `penstock up` that is started again whenever it ends, and what kills it and its children."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from penstock.settings import Settings

KINDS = ("up", "web", "intake", "intake", "control")
"""Drawn from; intake twice, because it has most to lose."""

TICK_S = 0.01


class Victim(Protocol):
    """What a `Killer` aims at."""

    kinds: Sequence[str]

    def keep_up(self) -> None:
        """Every process of it runs, or has just been started."""

    def pids(self) -> dict[str, int]:
        """What there is to kill now, by kind."""


class Service:
    """`penstock up` on one folder, started again at once like by a service manager."""

    kinds: Sequence[str] = KINDS

    def __init__(self, settings: Settings, log: Path) -> None:
        self.settings = settings
        self._log = log
        self._env = os.environ | {
            "PENSTOCK_DATA_DIR": str(settings.data_dir),
            "PENSTOCK_PORT": str(settings.port),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    @property
    def said(self) -> str:
        """What every run so far has printed."""
        return self._log.read_text()

    def keep_up(self) -> None:
        """It runs, or has just been started; called often, because nothing watches it else."""
        if self._process is not None and self._process.poll() is None:
            return
        command = [sys.executable, "-m", "penstock.cli.main", "up"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=self._env, stdout=log, stderr=log)
        self.starts += 1

    def pids(self) -> dict[str, int]:
        """What there is to kill now, by kind."""
        assert self._process is not None
        up = self._process.pid
        found = {"up": up} if self._process.poll() is None else {}
        for child in _children(up):
            role = _arguments(child)[-1:]
            if role and role[0] in KINDS:
                found[role[0]] = child
        return found

    def stop(self) -> int:
        """Ends it gracefully; its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(30)

    def wait(self) -> int:
        """The exit code of one that ends by itself."""
        assert self._process is not None
        return self._process.wait(30)

    def kill(self) -> list[int]:
        """`up` is gone by SIGKILL; returns the children that it had."""
        if self._process is None:
            return []
        children = _children(self._process.pid)
        self._process.kill()
        self._process.wait()
        return children


class Killer:
    """Kills one of the processes at random instants, `gap_s` apart, as often as allowed."""

    def __init__(self, service: Victim, *, seed: int, gap_s: tuple[float, float]) -> None:
        self._service = service
        self._draw = random.Random(seed)
        self._gap_s = gap_s
        self.allowed = 0
        self._due_s = 0.0
        self.kills: Counter[str] = Counter()
        self.put_off()

    def put_off(self) -> None:
        """The next kill is a whole gap away."""
        self._due_s = time.monotonic() + self._draw.uniform(*self._gap_s)

    def tend(self) -> None:
        """One turn of the loop: what is due is killed, and `up` is kept up."""
        self._service.keep_up()
        if time.monotonic() >= self._due_s:
            pids = self._service.pids()
            kind = self._draw.choice(self._service.kinds)
            if kind in pids and self.kills.total() < self.allowed:
                os.kill(pids[kind], signal.SIGKILL)
                self.kills[kind] += 1
            self.put_off()
        time.sleep(TICK_S)


def _children(pid: int) -> list[int]:
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
