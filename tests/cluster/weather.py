"""What befalls a cluster beside the kills: brokers and a database fall over, workers freeze."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from sqlalchemy import Engine, text

from deploy.kafka_local import Cluster
from streams.db.engine import connect, reading
from streams.errors import UnavailableError
from streams.topics import EVENTS
from tests.cluster.fleet import Fleet
from tests.contracts import postgres

FROZEN_S = 13  # longer than a member's session
BROKER_AWAY_S = 1.0  # besides the time that it takes to start
TRIES = 150

_FROZEN_IN_A_WRITE = text("""
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'penstock intake%'
   AND state = 'idle in transaction' AND backend_xid IS NOT NULL
   AND state_change < clock_timestamp() - interval '0.1 s'
""")


class Weather(threading.Thread):
    """Strikes one after the other, `gap_s` apart, until `end`; `came` counts them.

    leader     the broker that leads a partition is killed, and started again
    database   PostgreSQL forgets whatever it need not remember, and starts again
    zombie     a worker is frozen longer than its session, and wakes
    writer     the same in the middle of a transaction that holds rows
    """

    def __init__(
        self,
        fleet: Fleet,
        brokers: Cluster,
        database: postgres.Server,
        *,
        strikes: Sequence[str],
        gap_s: tuple[float, float],
        seed: int,
    ) -> None:
        super().__init__(daemon=True)
        self._fleet = fleet
        self._brokers = brokers
        self._database = database
        self._strikes = strikes
        self._gap_s = gap_s
        self._draw = random.Random(seed)
        self._over = threading.Event()
        self.came: Counter[str] = Counter()

    def run(self) -> None:
        what: dict[str, Callable[[], bool]] = {
            "leader": self._leader,
            "database": self._restart,
            "zombie": self._zombie,
            "writer": self._writer,
        }
        for strike in self._strikes:
            if self._over.wait(self._draw.uniform(*self._gap_s)):
                return
            self.came[strike] += what[strike]()

    def end(self) -> None:
        """Everybody is awake and up; nothing more comes."""
        self._over.set()
        self.join()

    def _leader(self) -> bool:
        settings = self._fleet.settings
        partition = self._draw.randrange(settings.partitions)
        leader = self._brokers.leader(settings.kafka_prefix + EVENTS.name, partition)
        leader.kill()
        time.sleep(BROKER_AWAY_S)
        leader.start()
        return True

    def _restart(self) -> bool:
        self._database.restart(mode="immediate")
        return True

    def _zombie(self) -> bool:
        pid = self._worker()
        if pid is not None:
            os.kill(pid, signal.SIGSTOP)
            self._wake(pid)
        return pid is not None

    def _writer(self) -> bool:
        """A worker is stopped again and again, until it is in the middle of a write."""
        engine = connect(self._fleet.settings.database, connections=1)
        try:
            for _ in range(TRIES):
                if self._over.is_set():
                    return False
                if (pid := self._worker()) is None:
                    continue
                if self._froze_in_a_write(pid, engine):
                    return True
                time.sleep(self._draw.uniform(0.0, 0.05))
            return False
        finally:
            engine.dispose()

    def _froze_in_a_write(self, pid: int, engine: Engine) -> bool:
        """Whether the worker was stopped while it held rows; it is awake again in any case."""
        with suppress(ProcessLookupError):  # killed meanwhile
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(0.15)
                with suppress(UnavailableError):  # our own look was cut off by the wire
                    if _holds_rows(engine):
                        self._over.wait(FROZEN_S)
                        return True
            finally:
                os.kill(pid, signal.SIGCONT)
        return False

    def _worker(self) -> int | None:
        workers = self._fleet.workers()
        return self._draw.choice(workers) if workers else None

    def _wake(self, pid: int) -> None:
        self._over.wait(FROZEN_S)
        with suppress(ProcessLookupError):  # killed while it was frozen
            os.kill(pid, signal.SIGCONT)


def _holds_rows(engine: Engine) -> bool:
    with reading(engine) as connection:
        return bool(connection.execute(_FROZEN_IN_A_WRITE).scalar_one())
