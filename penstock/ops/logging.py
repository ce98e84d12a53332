"""What a process says of its work: one line each on stderr, for people or for programs.

The code says it by the standard library's `logging`; `configure` is called once, by the process.
"""

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

import msgspec

from penstock.escaping import escaped, safe_json
from penstock.settings import Settings

OURS = ("penstock", "streams", "evidence", "rollout", "monitors", "audit")
CLIENTS = ("kafka", "aiokafka")
"""While a broker is away they say so several times a second; our own errors say it once."""

EVERY_S = 60.0
MOST = 20  # of one kind of message in that time, however their details differ
HIDDEN = "***"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def is_json(settings: Settings, stream: TextIO | None = None) -> bool:
    """Whether lines are for a program: as set, or by whether somebody sits at a terminal."""
    stream = sys.stderr if stream is None else stream
    return settings.log_format == "json" or (not settings.log_format and not stream.isatty())


def configure(settings: Settings, role: str, stream: TextIO | None = None) -> None:
    """Everything that this process says goes to `stream` (stderr), also what it dies of."""
    handler = logging.StreamHandler(stream)
    kind = JsonLines if is_json(settings, handler.stream) else TextLines
    handler.setFormatter(kind(role, settings.worker, settings.secrets))
    handler.addFilter(Sparing())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    level = settings.log_level.upper()
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    for name in CLIENTS:
        logging.getLogger(name).setLevel("WARNING" if level == "DEBUG" else "CRITICAL")
    logging.captureWarnings(True)
    sys.excepthook = _died
    threading.excepthook = _thread_died


class _Lines(logging.Formatter):
    """What both formats share: no secrets, and the fields that a caller gave by `extra`."""

    def __init__(self, role: str, worker: str, secrets: Sequence[str]) -> None:
        super().__init__()
        self._role = role
        self._worker = worker
        self._secrets = secrets

    def hidden(self, text: str) -> str:
        """`text` without the secrets of the settings."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def fields(self, record: logging.LogRecord) -> dict[str, object]:
        """What was said besides the message; empty ones say nothing."""
        return {k: v for k, v in vars(record).items() if k not in _STANDARD and v != ""}

    def raised(self, record: logging.LogRecord) -> str:
        """The traceback, if there is one."""
        return self.formatException(record.exc_info) if record.exc_info else ""


class TextLines(_Lines):
    """`17:30:01 worker w1 warning: waits: ... (why=...)`, and a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        who = f"{self._role} {self._worker}".strip()
        level = f" {record.levelname.lower()}" if record.levelno > logging.INFO else ""
        fields = ", ".join(f"{name}={value}" for name, value in self.fields(record).items())
        said = f"{at} {who}{level}: {record.getMessage()}" + (f" ({fields})" if fields else "")
        lines = [said, *self.raised(record).splitlines()]
        return "\n".join(escaped(self.hidden(line)) for line in lines)


class JsonLines(_Lines):
    """One object a line; `event` is the message without its details, the same at every time."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        said: dict[str, object] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "role": self._role,
            "worker": self._worker,
            "logger": record.name,
            "event": str(record.msg),
            "message": record.getMessage(),
            "exception": self.raised(record),
        }
        plain = {name: value for name, value in said.items() if value != ""} | {
            name: value if isinstance(value, int | float) else str(value)
            for name, value in self.fields(record).items()
        }
        shown = {n: self.hidden(v) if isinstance(v, str) else v for n, v in plain.items()}
        return safe_json(json.dumps(shown, ensure_ascii=False))


class _Window(msgspec.Struct):
    since_s: float
    let: int = 0
    kept: int = 0


class Sparing(logging.Filter):
    """The same message passes once in `EVERY_S`, and of one kind `MOST` do.

    The next one that passes has in `suppressed` how many did not.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[tuple[object, ...], _Window] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        with self._lock:
            return self._passes(record, self._clock())

    def _passes(self, record: logging.LogRecord, now_s: float) -> bool:
        kind = (record.name, record.levelno, str(record.msg))
        alike = self._window(kind, now_s)
        if alike.let >= MOST:
            alike.kept += 1
            return False
        same = self._window((*kind, record.getMessage()), now_s)
        if same.let:
            same.kept += 1
            return False
        if kept := same.kept + alike.kept:
            record.suppressed = kept
        same.let, alike.let = 1, alike.let + 1
        same.kept = alike.kept = 0
        return True

    def _window(self, key: tuple[object, ...], now_s: float) -> _Window:
        if len(self._windows) > 2_000:
            old = [k for k, w in self._windows.items() if now_s - w.since_s > EVERY_S]
            for k in old or list(self._windows)[:1_000]:
                del self._windows[k]
        window = self._windows.setdefault(key, _Window(now_s))
        if now_s - window.since_s >= EVERY_S:
            window.since_s, window.let = now_s, 0
        return window


def _died(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("penstock").critical("died of a bug", exc_info=(kind, error, trace))


def _thread_died(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        raised = (args.exc_type, args.exc_value, args.exc_traceback)
        name = args.thread.name if args.thread else "?"
        logging.getLogger("penstock").critical("thread %s died of a bug", name, exc_info=raised)
