"""One answer being made: its latency is measured, and what the model raises is an answer too."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

_MESSAGE_CHARACTERS = 500


class Predicting:
    """Records once, when the block ends: the answer that was given, or the exception.

    An exception passes through unchanged. What is no fault of the model (KeyboardInterrupt, a
    cancelled task) and a block that gives no answer record nothing: the answer is missing.
    """

    def __init__(self, record: Callable[..., None]) -> None:
        self._record = record
        self._answer: dict[str, Any] | None = None
        self._features: dict[str, Any] = {}
        self._began_s = 0.0

    def saw(self, **fields: Any) -> None:
        """`features`, `inputs` and the like are recorded even if the model raises."""
        self._features.update(fields)

    def answer(self, **fields: Any) -> None:
        """This is the answer, in the words of `Client.record`; the last one wins."""
        self._answer = fields

    def __enter__(self) -> "Predicting":
        self._began_s = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        fields = dict(self._features, latency_ms=(time.perf_counter() - self._began_s) * 1000)
        if isinstance(raised, Exception):
            fields["error"] = (type(raised).__name__, _message(raised))
        elif raised is not None or self._answer is None:
            return
        else:
            fields.update(self._answer)
        self._record(**fields)


def _message(raised: Exception) -> str:
    """What the exception says, unless saying it raises."""
    try:
        return str(raised)[:_MESSAGE_CHARACTERS]
    except Exception:  # another's code runs in it
        return ""
