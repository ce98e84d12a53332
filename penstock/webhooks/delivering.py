"""Control's duty: what is due goes out, a thread for each webhook.

A receiver that hangs keeps its own thread waiting and nobody else. An attempt is claimed before
it is made and noted afterwards, so whoever dies in between makes it again, under the same id.
"""

import logging
import threading
import time
from collections import Counter

from sqlalchemy import Connection, Engine

from penstock.outbound.fetcher import Fetcher
from penstock.webhooks import delays
from penstock.webhooks.attempts import Outcome, attempt
from streams import deliveries, webhooks
from streams.db.engine import reading, writing
from streams.deliveries import DROPPED, GIVEN_UP, TAKEN, WAITING, Claimed
from streams.errors import Error
from streams.models import DAY_MS
from streams.webhooks import GONE, Webhook

CLAIM_MS = 30_000
"""Longer than an attempt may take. What was in hand when a process died is due after it."""

KEPT_MS = 30 * DAY_MS
"""How long settled deliveries can be looked at."""

OUTCOMES = ("taken", "refused")

FAREWELL_S = 1.0
"""How long the end waits for attempts that are under way; they are made again."""

_log = logging.getLogger(__name__)


class Deliverer:
    """Delivers what is due. `attempts` counts them since this process began, by outcome."""

    def __init__(self, engine: Engine, fetcher: Fetcher) -> None:
        self._engine = engine
        self._fetcher = fetcher
        self._busy: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.attempts: Counter[str] = Counter()

    def step(self) -> None:
        """Every webhook for which something is due is being served."""
        with reading(self._engine) as connection:
            found = deliveries.due(connection, now_ms=_wall_ms())
        for webhook in found:
            with self._lock:
                if webhook in self._busy:
                    continue
                # A daemon: the end of the process waits for no receiver.
                thread = threading.Thread(
                    target=self._serve, args=(webhook,), name=f"webhook {webhook}", daemon=True
                )
                self._busy[webhook] = thread
                thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Whether nothing is under way any more, after at most that time."""
        until = time.monotonic() + timeout_s
        for thread in list(self._busy.values()):
            thread.join(max(0.0, until - time.monotonic()))
        return not self._busy

    def close(self) -> None:
        """No further attempt begins."""
        self._stop.set()
        self.wait(FAREWELL_S)

    def _serve(self, webhook: str) -> None:
        try:
            while not self._stop.is_set() and self._one(webhook):
                pass
        except Error as error:  # the claim runs out, and it is tried again
            _log.warning("webhook %s waits: %s", webhook, error.message)
        finally:
            with self._lock:
                del self._busy[webhook]

    def _one(self, webhook_id: str) -> bool:
        """Whether there was anything to do."""
        now_ms = _wall_ms()
        with writing(self._engine) as connection:
            claimed = deliveries.claim(connection, webhook_id, now_ms=now_ms, for_ms=CLAIM_MS)
            if claimed is None:
                return False
            webhook = webhooks.one(connection, webhook_id)
            if webhook.ended_ms is not None:  # it ended while it was being told
                deliveries.drop(connection, webhook_id)
                return False
            secrets = webhooks.signed_with(connection, webhook_id, now_ms=now_ms)
        outcome = attempt(
            self._fetcher, webhook.url, signed_with=secrets, message_id=claimed.message_id,
            body=claimed.body, now_ms=now_ms,
        )  # fmt: skip
        with writing(self._engine) as connection:
            state = _noted(connection, webhook, claimed, outcome, now_ms=_wall_ms())
        self.attempts[OUTCOMES[not outcome.is_taken]] += 1
        _tell(webhook, claimed, outcome, state)
        return True


def _noted(
    connection: Connection, webhook: Webhook, claimed: Claimed, outcome: Outcome, *, now_ms: int
) -> str:
    """The delivery's state after the attempt, which stands in the database with the webhook's."""
    state, due_ms = WAITING, None
    if outcome.is_taken:
        state = TAKEN
    elif outcome.is_gone:
        state = DROPPED
    else:
        due_ms = delays.next_ms(
            claimed.attempts + 1, now_ms=now_ms, message_id=claimed.message_id,
            retry_after=outcome.retry_after,
        )  # fmt: skip
        state = GIVEN_UP if due_ms is None else WAITING
    deliveries.note(
        connection, claimed, state=state, due_ms=due_ms, status=outcome.status, said=outcome.said,
        now_ms=now_ms,
    )  # fmt: skip
    if outcome.is_taken:
        webhooks.took(connection, webhook.id, now_ms=now_ms)
        return state
    webhooks.failed(connection, webhook.id, why=outcome.said, now_ms=now_ms)
    if outcome.is_gone:
        webhooks.end(connection, webhook.id, why=GONE, now_ms=now_ms)
        deliveries.drop(connection, webhook.id)
    return state


def _tell(webhook: Webhook, claimed: Claimed, outcome: Outcome, state: str) -> None:
    """A line when something changes: it fails, takes again, is given up, or has ended."""
    if outcome.is_taken:
        if webhook.failing_ms is not None:
            _log.info("webhook %s takes again", webhook.id)
    elif outcome.is_gone:
        _log.warning("webhook %s has ended: %s", webhook.id, GONE)
    elif state == GIVEN_UP:
        _log.error(
            "webhook %s never took %s: %s", webhook.id, claimed.event, outcome.said,
            extra={"fix": f"penstock webhook resend {webhook.id}"},
        )  # fmt: skip
    elif webhook.failing_ms is None:
        _log.warning("webhook %s fails: %s", webhook.id, outcome.said)


def forget(engine: Engine) -> None:
    """Settled deliveries of long ago are gone."""
    with writing(engine) as connection:
        deliveries.forget(connection, before_ms=_wall_ms() - KEPT_MS)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
