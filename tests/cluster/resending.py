"""A gateway that is not sure what it has sent: a share of the log's events comes again."""

import random
import threading
import time

from penstock.installation import Installation, opened
from penstock.settings import Settings
from streams import positions
from streams.db.engine import reading
from streams.envelopes import pack, unpack
from streams.errors import Error
from streams.logs.base import Log, Reader, Record
from streams.topics import EVENTS

MAX_BYTES = 4_000_000
SURE_S = 2.0  # a database that crashes may forget what was committed in its last second


class Resender(threading.Thread):
    """Appends again what it reads: whole envelopes at once, single events elsewhere, later.

    An envelope goes to the partition that it came from. A single event goes to any other, once it
    was counted for good: until then its partition is that to which it comes first.
    """

    def __init__(self, settings: Settings, *, share: float, seed: int) -> None:
        super().__init__(daemon=True)
        self._settings = settings
        self._share = share
        self._draw = random.Random(seed)
        self._done = threading.Event()
        self._singles: list[tuple[int, int, bytes]] = []  # (partition, offset, event)
        self._counted: dict[int, int] = {}  # `next` of each partition a while ago
        self._look_again_s = 0.0
        self.envelopes = self.events = 0

    def run(self) -> None:
        while not self._done.is_set():
            try:
                with opened(self._settings) as here:
                    self._resend(here)
            except Error:  # a broker or database is away: goes on from the end
                time.sleep(0.5)

    def end(self) -> None:
        """Nothing more is sent."""
        self._done.set()
        self.join()

    def _resend(self, here: Installation) -> None:
        reader = here.log.reader(EVENTS.name, group=None)
        try:
            for partition, bounds in here.log.bounds(EVENTS.name).items():
                reader.seek(partition, bounds.end)
            while not self._done.is_set():
                self._again(here.log, reader)
                self._astray(here)
        finally:
            reader.close()

    def _again(self, log: Log, reader: Reader) -> None:
        """Whole envelopes; the single events are drawn."""
        whole: list[Record] = []
        for record in reader.poll(max_bytes=MAX_BYTES, timeout_s=0.2):
            header, lines = unpack(record.value)
            if header.hops:
                continue  # the house's own
            if self._draw.random() < self._share:
                whole.append(record)
            self._singles += [
                (record.partition, record.offset, line)
                for line in lines
                if self._draw.random() < self._share
            ]
        if whole:
            log.append(EVENTS.name, [(record.partition, record.value) for record in whole])
            self.envelopes += len(whole)

    def _astray(self, here: Installation) -> None:
        """Single events that were counted, into partitions that are not theirs."""
        if time.monotonic() < self._look_again_s:
            return
        self._look_again_s = time.monotonic() + SURE_S
        with reading(here.engine) as connection:
            standing = positions.standing(connection, consumer="intake", topic=EVENTS.name)
        now = {partition: position.next for partition, position in standing.items()}
        sure = {p: min(next_, now.get(p, 0)) for p, next_ in self._counted.items()}
        self._counted = now
        due = [single for single in self._singles if single[1] < sure.get(single[0], 0)]
        self._singles = [one for one in self._singles if one[1] >= sure.get(one[0], 0)]
        if due:
            count = here.settings.partitions
            here.log.append(EVENTS.name, [
                ((partition + self._draw.randrange(1, count)) % count, pack([line]))
                for partition, _, line in due
            ])  # fmt: skip
            self.events += len(due)
