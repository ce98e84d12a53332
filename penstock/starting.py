"""Roles as processes: `penstock up` with its children, or one role alone beside others."""

import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from penstock import installation, lock, status
from penstock.cli.output import Output
from penstock.ending import end_in_time, forget_nothing
from penstock.greeting import first_event
from penstock.ops.logging import configure, is_json
from penstock.ops.server import serving
from penstock.ops.vitals import Vitals
from penstock.settings import Settings
from penstock.supervisor import ROLES, Supervisor, child_command
from streams.errors import ConfigError, UnavailableError

STATUS_S = 5.0
AWAY_S = 1.0
GRACE_S = 5.0  # a role ends within two seconds of being asked, unless something hangs
PORT_WAIT_S = 3.0  # longer than children take to notice that their supervisor is gone
INTERRUPTED = 130

_log = logging.getLogger(__name__)


def up(settings: Settings, output: Output) -> int:
    """Runs until SIGTERM (exit code 0) or Ctrl-C (130); everything has ended when it returns.

    Raises UnavailableError when another process holds the data folder or the port, ConfigError
    when the folder cannot be used or others could reach an installation without keys.
    """
    installation.make_folder(settings)
    with lock.held(settings.data_dir), _stopping() as (stop, reason):
        configure(settings, "up")
        installation.prepare(settings)
        with installation.opened(settings) as here:
            installation.refuse_open_doors(here)
        check_port(settings)
        threading.Thread(target=_report, args=(settings, output, stop), daemon=True).start()
        Supervisor(ROLES, child_command, say=_log.warning).run(stop)
        _log.info("stopped")
    forget_nothing()
    return INTERRUPTED if reason == [signal.SIGINT] else 0


def play(
    settings: Settings,
    name: str,
    role: Callable[[Settings, threading.Event, Vitals], None],
    *,
    anywhere: bool = False,
) -> int:
    """One role in this process until SIGTERM (exit code 0) or Ctrl-C (130).

    Any number of processes may play a role: workers share partitions, one control works while
    others wait. A broker or database that is away is waited for. Raises ConfigError on the
    embedded log, which `penstock up` serves whole, unless the role may be played `anywhere`.
    """
    if not settings.kafka_servers and not anywhere:
        raise ConfigError(
            f"{name} as a process of its own needs Kafka",
            why="the embedded log is one machine's, and `penstock up` runs every role on it",
            fix="penstock up, or set PENSTOCK_KAFKA_SERVERS",
        )
    configure(settings, name)
    vitals = Vitals(name)
    ops_port = 0 if name == "web" else settings.ops_port  # web tells on its own port
    with _stopping() as (stop, reason), serving(vitals, settings.ops_host, ops_port):
        end_in_time(stop, name, GRACE_S)
        while not stop.is_set():
            vitals.beat()
            try:
                role(settings, stop, vitals)
            except UnavailableError as away:
                _log.warning("waits: %s", away.message, extra={"why": away.why})
                vitals.wait(away.message)
                stop.wait(AWAY_S)
        _log.info("ended")
    forget_nothing()
    return INTERRUPTED if reason == [signal.SIGINT] else 0


@contextmanager
def _stopping() -> Iterator[tuple[threading.Event, list[int]]]:
    """An event that Ctrl-C, SIGTERM and a closed terminal set, and which of them it was."""
    stop, reason = threading.Event(), list[int]()

    def asked(number: int, _frame: object) -> None:
        reason[:] = reason or [number]
        stop.set()

    caught = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [(number, signal.signal(number, asked)) for number in caught]
    try:
        yield stop, reason
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def check_port(settings: Settings) -> None:
    """Raises UnavailableError when the address stays taken: a child could only retry for ever.

    Children of an `up` that was killed hold it until they have noticed.
    """
    deadline = time.monotonic() + PORT_WAIT_S
    while (taken := _taken(settings)) is not None:
        if time.monotonic() >= deadline:
            raise UnavailableError(
                f"{settings.host}:{settings.port} cannot be listened on: {taken.strerror}",
                why="another program uses the port, or the address is not this machine's",
                fix="set PENSTOCK_PORT or PENSTOCK_HOST, or stop the other program",
            ) from taken
        time.sleep(0.1)


def _taken(settings: Settings) -> OSError | None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host.strip("[]"), settings.port), family=family).close()
    except OSError as error:
        return error
    return None


def _greeting(settings: Settings) -> str:
    return "\n".join(
        (
            f"Penstock runs at {settings.url}",
            f"data in {settings.data_dir.absolute()}",
            "send the first event from another terminal:",
            f"  {first_event(settings.url)}",
            "then: penstock events tail      Ctrl-C here ends everything",
        )
    )


def _report(settings: Settings, output: Output, stop: threading.Event) -> None:
    """Greets once ingest answers; then, on a terminal, a line whenever there is news."""
    while not status.is_up(settings):
        if stop.wait(0.1):
            return
    if is_json(settings):
        _log.info("serves at %s", settings.url)
    else:
        output.say(_greeting(settings))
    said = ""
    while sys.stderr.isatty() and not stop.wait(STATUS_S):
        seen = status.pipe(settings)
        text = "ingest does not answer" if seen is None else status.line(seen)
        if text != said:
            output.say(text)
            said = text
