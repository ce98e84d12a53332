"""A candidate answers what the live version was asked, beside it: one version, one child.

Every live answer gets one: what the candidate answered, or the error it made. A child that has
ended is begun again, ever more slowly while it keeps ending.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from streams import outputs, ports
from streams.errors import ConfigError, InputError, ScoringError
from streams.events import Failure, Output, Prediction
from streams.frames import Array
from streams.models import Declaration
from streams.ports import Layout
from streams.scoring import DEFAULT_LIMITS, Answered, Limits, Scorer, scorer
from streams.versions import Version

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
_MAX_MESSAGE = 500
_log = logging.getLogger(__name__)

Answer = tuple[Output | Failure, float | None]
"""An answer or an error, and where it was timed alone, the model's milliseconds."""


class Tally(msgspec.Struct):
    """What a candidate did since it began here."""

    answers: int = 0
    errors: int = 0
    starts: int = 0
    fault: str = ""  # why it answers nothing now, or empty


class Candidate:
    """Runs `version` of `model`, whose files are in the store at `root`."""

    def __init__(
        self, root: Path, version: Version, model: Declaration, *,
        seconds: Callable[[], float], limits: Limits = DEFAULT_LIMITS,
    ) -> None:  # fmt: skip
        """`seconds` is a clock that never goes back."""
        self.version, self.tally = version, Tally()
        self._root, self._model, self._limits = root, model, limits
        self._seconds = seconds
        self._scorer: Scorer | None = None
        self._layout: Layout | None = None
        self._pause_s, self._again_at_s = 0.0, 0.0

    def answers(self, live: Sequence[Prediction]) -> list[Answer]:
        """What the candidate says to the requests of `live`, in their order."""
        found = self._answers(live)
        errors = sum(isinstance(said, Failure) for said, _ in found)
        self.tally.errors += errors
        self.tally.answers += len(found) - errors
        return found

    def close(self) -> None:
        """Its child has ended."""
        if self._scorer is not None:
            self._scorer.close()
            self._scorer = None

    def _answers(self, live: Sequence[Prediction]) -> list[Answer]:
        begun = self._begun()
        if isinstance(begun, Failure):
            return [(begun, None)] * len(live)
        running, layout = begun
        arrays, faults = layout.arrays([each.features for each in live])
        found: list[Answer] = [
            (Failure("features", faults.get(k, "")), None) for k in range(len(live))
        ]
        good = [k for k in range(len(live)) if k not in faults]
        # One request goes alone: its time is that of a request, not of a batch.
        for rows in (good[:1], good[1:]):
            if rows and self._scorer is None:  # the one that went alone has ended it
                for k in rows:
                    found[k] = self._unavailable(), None
            elif rows:
                given = {name: array[rows] for name, array in arrays.items()}
                parts = [live[k].output for k in rows]
                for k, answer in zip(rows, self._run(running, given, parts), strict=True):
                    found[k] = answer
        return found

    def _run(
        self, running: Scorer, given: dict[str, Array], live: Sequence[Output | None]
    ) -> list[Answer]:
        try:
            answered = running.run(given, partial=True)
            read = outputs.answers(
                answered.outputs, self._model, activation=self.version.body.bundle.activation
            )
        except ScoringError as error:
            if not running.is_alive:
                self._ended(error)
            return [(_failure(error.kind, error), None)] * len(live)
        except InputError as error:
            return [(_failure("outputs", error), None)] * len(live)
        self._pause_s, self.tally.fault = 0.0, ""
        alone_ms = answered.model_s * 1000 if len(live) == 1 else None
        return [(_answer(answered, read, k, each), alone_ms) for k, each in enumerate(live)]

    def _begun(self) -> tuple[Scorer, Layout] | Failure:
        """The running candidate, or why there is none."""
        if self._scorer is not None and self._layout is not None and self._scorer.is_alive:
            return self._scorer, self._layout
        if self._seconds() < self._again_at_s:
            return self._unavailable()
        self.close()
        try:
            self._scorer = scorer(self._root, self.version, limits=self._limits)
            self._layout = ports.layout(self._scorer.inputs, self.version.body.bundle.inputs)
            ports.undeclared(self._layout, list(self._model.features))
        except (InputError, ConfigError, ScoringError) as error:
            self._ended(error)
            return _failure(getattr(error, "kind", "load"), error)
        self.tally.starts += 1
        return self._scorer, self._layout

    def _unavailable(self) -> Failure:
        return Failure("unavailable", self.tally.fault[:_MAX_MESSAGE])

    def _ended(self, error: InputError | ConfigError | ScoringError) -> None:
        """It is begun again after a pause that grows with every end without an answer between."""
        if error.message != self.tally.fault:
            _log.warning("%s", error.message, extra={"why": error.why, "next": error.fix})
        self.tally.fault = error.message
        self._pause_s = min(max(2 * self._pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self._again_at_s = self._seconds() + self._pause_s
        with suppress(OSError):
            self.close()


def shadow_of(live: Prediction, version: str, answer: Answer, *, queue_ms: float) -> Prediction:
    """The shadow answer beside `live`: same request, same assignment, acted on by nobody.

    It carries the time of the request, so that one that is made again after a crash is the same.
    `queue_ms` is how long after the live answer it was made.
    """
    said, latency_ms = answer
    return Prediction(
        model=live.model,
        time=live.time,
        prediction_id=live.prediction_id,
        version=version,
        route=live.route,
        role="shadow",
        arm=live.arm,
        route_version=live.route_version,
        unit_id=live.unit_id,
        join_key=live.join_key,
        tags=live.tags,
        traceparent=live.traceparent,
        sample_rate=live.sample_rate,
        output=said if isinstance(said, Output) else None,
        error=said if isinstance(said, Failure) else None,
        latency_ms=latency_ms,
        queue_ms=min(max(queue_ms, 0.0), 86_400_000.0),
    )


def _answer(
    answered: Answered, read: outputs.Answers, row: int, live: Output | None
) -> Output | Failure:
    if not answered.finite[row]:
        return Failure("not-finite", "the answer holds NaN or infinity")
    return read.output(row, live)


def _failure(kind: str, error: InputError | ConfigError | ScoringError) -> Failure:
    return Failure(kind, error.message[:_MAX_MESSAGE])
