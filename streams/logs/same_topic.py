"""Whether a topic is still the one that a reader began with."""

import time

from streams.errors import ConflictError, InputError
from streams.logs.base import Log, TopicState

SAME_TOPIC_S = 60.0  # a topic that was made again is noticed within


class SameTopic:
    """Asks the log for the topic's id, now and then or whenever something is odd."""

    def __init__(self, log: Log, state: TopicState) -> None:
        self._log = log
        self._state = state
        self._sure_until = time.monotonic() + SAME_TOPIC_S

    def check_in_time(self) -> None:
        """As `check`, once in a while."""
        if time.monotonic() > self._sure_until:
            self.check()

    def check(self) -> None:
        """Raises ConflictError when the topic was dropped, whether or not it was made again."""
        try:
            now = self._log.state(self._state.name)
        except InputError:
            now = None
        if now is None or now.topic_id != self._state.topic_id:
            raise ConflictError(
                f"topic {self._state.name!r} was dropped while it was read",
                fix="open a reader on the topic that stands now",
            )
        self._sure_until = time.monotonic() + SAME_TOPIC_S
