"""What a service calls: nothing raises after construction, and nothing but `review` waits."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from . import claims, events
from .counts import Key, Tally
from .events import Assignment, Number
from .http_server import HttpServer
from .http_transport import HttpTransport
from .ids import minute_of
from .kafka_transport import SCHEME, KafkaTransport
from .limits import Limits
from .predicting import Predicting
from .reader import ReaderName
from .reviews import AWAY, NOT_NEEDED, Review, Reviews
from .route_cache import RouteCache
from .routes import Routes
from .running import Running
from .stats import Stats
from .transport import Transport

_NOTHING = events.Output()


class Client(Running):
    """Tells one Penstock server about one model; safe to share between threads and over a fork.

    Args:
        url: the server, with a base path if it has one; or Kafka, as `kafka://host:9092/topic`,
            with commas between brokers.
        model: the model's name there.
        champion: the version that answers when nothing else is decided.
        key: an API key that may write events; none is needed on loopback, Kafka knows none.
        route: the decision point of the model in this service.
        routes_url: the server that says which version answers, if it is not at `url`; events that
            go to Kafka need it to take part in a rollout.
        state_dir: where counts and the route table outlive a crash; default
            `PENSTOCK_CLIENT_DIR`, else shared memory or the temporary folder.
        spool_dir: where events wait while the server is away; none keeps them in memory.
        ca_file: certificates to trust instead of the system's.
        security: how Kafka lets us in: `security_protocol`, `ssl_*` and `sasl_*` of kafka-python.
        limits: how much memory, disk and time it may take.

    Raises:
        ValueError: the URL, the key or a limit cannot be right.
        ImportError: Kafka is asked for, but its client is not installed.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        champion: str | None = None,
        key: str | None = None,
        route: str = "default",
        routes_url: str | None = None,
        state_dir: str | os.PathLike[str] | None = None,
        spool_dir: str | os.PathLike[str] | None = None,
        ca_file: str | None = None,
        security: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
    ) -> None:
        url = url.rstrip("/")
        limits = limits or Limits()
        folder = state_dir or os.environ.get("PENSTOCK_CLIENT_DIR") or claims.default_folder()
        self._model = model
        self._champion = champion
        self._route = route
        self._pinned = os.environ.get("PENSTOCK_PIN") or None
        self._routes_server = None
        if routes_url is not None or not url.startswith(SCHEME):
            self._routes_server = HttpServer(routes_url or url, key=key, ca_file=ca_file)
        super().__init__(
            claims.scope_of(url, model),
            partial(
                _way(url, key, ca_file, security, asks_server=routes_url is not None),
                timeout_s=limits.timeout_s,
            ),
            folder=Path(folder),
            spool_folder=None if spool_dir is None else Path(spool_dir),
            limits=limits,
        )
        self._routes.remember()

    def assign(
        self,
        unit_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        *,
        champion: str | None = None,
    ) -> Assignment:
        """The version that answers this request, counted before the model runs.

        `PENSTOCK_PIN` decides, else the route table while it is valid, else the champion.

        Args:
            unit_id: what is randomised and analysed, such as an account; none: this request.
            tags: slices and scopes that the request belongs to.
            champion: the version to use when nothing else is decided, instead of the client's.
        """
        version = self._pinned or champion or self._champion
        if version is None:
            self._invalid(ValueError("assign needs a champion, here or in the client"))
        try:
            unit_id = None if unit_id is None else str(unit_id)
            pairs = tuple(tags.items()) if tags else ()
            prediction_id = self._ids.new(unit_id)
            decided = None if self._pinned else self._routes.decide(unit_id, prediction_id, pairs)
        except Exception as error:  # a unit that is no text, tags that are no mapping
            self._invalid(error)
            unit_id, pairs, prediction_id, decided = None, (), self._ids.new(), None
        arm, route_version, confirm = "champion", None, False
        if decided is not None:
            route_version, given = decided
            version, arm, confirm = given.version, given.arm, given.confirm
        assignment = Assignment(
            prediction_id=prediction_id,
            version=version or "unknown",
            arm=arm,
            route=self._route,
            route_version=route_version,
            confirm=confirm,
            unit_id=unit_id,
            tags=pairs,
        )
        try:
            if tally := self._tally(assignment, now_ms=time.time_ns() // 1_000_000):
                tally.assign()
                self._sender.counted()
        except Exception as error:  # a request is answered whatever becomes of its count
            self._invalid(error)
        return assignment

    def record(
        self,
        assignment: Assignment,
        *,
        label: str | int | None = None,
        score: Number | None = None,
        scores: Mapping[str, Number] | None = None,
        threshold: Number | None = None,
        scenario: str | None = None,
        value: Number | None = None,
        text: str | None = None,
        boxes: Iterable[Mapping[str, Any]] | None = None,
        image: Mapping[str, int] | None = None,
        error: tuple[str, str] | None = None,
        features: Mapping[str, Any] | None = None,
        inputs: Iterable[Mapping[str, Any]] | None = None,
        latency_ms: Number | None = None,
        queue_ms: Number | None = None,
        role: str = "live",
        version: str | None = None,
        join_key: str | None = None,
        traceparent: str | None = None,
        sample_rate: Number | None = None,
        time_ms: int | None = None,
    ) -> None:
        """What a version answered is on its way, its values as they are now.

        Args:
            label, score, scores, threshold, scenario: a class, and how sure the model is.
            value: a number. text: a text. boxes, image: detected objects.
            error: type and message, instead of an answer, when the model failed.
            features: what the model saw; NaN counts as missing.
            latency_ms, queue_ms: of the model alone, and before it.
            role: `live` (acted on), `shadow`, or `proposed` (a person has to confirm).
            version: who answered, if it was not the assigned version.
            join_key: what a late label will know, such as an order number.
            sample_rate: the share of requests that this service records, if not all.
            time_ms: when it answered, ms UTC; now by default.
        """
        try:
            now_ms = time.time_ns() // 1_000_000
            output, failure = None, None
            if error is None:
                output = events.Output(
                    events.as_label(label), score, scores, threshold, scenario, value, text, boxes,
                    image,
                )  # fmt: skip
                if output == _NOTHING:
                    raise ValueError("an answer needs a label, score, scores, value, text or boxes")
                events.check_output(output)
            else:
                failure = events.Failure(error[0], error[1])
            if features is not None:
                events.check_features(features)
            events.check_number("latency_ms", latency_ms)
            line = events.encode(
                events.Prediction(
                    self._model,
                    assignment.prediction_id,
                    now_ms if time_ms is None else time_ms,
                    version or assignment.version,
                    assignment.route,
                    role,
                    assignment.arm,
                    assignment.route_version,
                    assignment.unit_id,
                    join_key,
                    output,
                    failure,
                    latency_ms,
                    queue_ms,
                    features,
                    inputs,
                    dict(assignment.tags) or None,
                    traceparent,
                    sample_rate,
                )
            )
            tally = None
            if role == "live" and (tally := self._tally(assignment, now_ms=now_ms)):
                tally.answer()
            self._put(assignment.prediction_id, line, tally)
        except Exception as raised:  # whatever was given: no service fails by its reports
            self._invalid(raised)

    def review(
        self, assignment: Assignment, *, timeout_s: float, champion: str | None = None
    ) -> Review:
        """What a person says of the answer that was recorded as `proposed`: whose answer to act on.

        It waits, unlike everything else; from asyncio: `await asyncio.to_thread(...)`. It is the
        champion's answer unless a person confirmed: also when nobody did in the time that the
        rollout gives, when the rollout goes back, and when the server is away. An assignment that
        needs no person is answered at once.

        Args:
            timeout_s: how long this request can wait, whatever the rollout gives.
            champion: the version to act on instead, where no route table says so; else the
                client's.
        """
        if not assignment.confirm:
            return Review(NOT_NEEDED, assignment.version)
        table = self._routes.table
        other = None if table is None else table.arms[-1].version
        if other is None or other == assignment.version:  # it was promoted meanwhile
            other = champion or self._champion or "unknown"
        try:
            with self._sender.hurried():  # nobody is asked before the answer is there
                return self._reviews.wait(
                    assignment.prediction_id, proposed=assignment.version, champion=other,
                    timeout_s=float(timeout_s),
                )  # fmt: skip
        except Exception as error:  # a time that is no number
            self._invalid(error)
            return Review(AWAY, other)

    def predicting(self, assignment: Assignment, **fields: Any) -> Predicting:
        """A block that records what the model answers or raises in it, and how long it took.

        `fields` are those of `record` that are known before the model runs.
        """
        predicting = Predicting(partial(self.record, assignment))
        predicting.saw(**fields)
        return predicting

    def label(
        self,
        *,
        prediction_id: str | None = None,
        join_key: str | None = None,
        label: str | int | None = None,
        value: Number | None = None,
        text: str | None = None,
        boxes: Iterable[Mapping[str, Any]] | None = None,
        source: str = "outcome",
        label_id: str | None = None,
        by_kind: str | None = None,
        by: str | None = None,
        confidence: Number | None = None,
        explanation: str | None = None,
        supersedes: str | None = None,
        time_ms: int | None = None,
    ) -> None:
        """The truth about a request is on its way.

        Give `label_id` where the truth has an id of its own, so that reading it twice counts once.
        With `supersedes` and no truth, the label of that id is taken back.
        """
        try:
            if label is None and value is None and text is None and boxes is None is supersedes:
                raise ValueError("a label needs a label, value, text or boxes, or supersedes")
            events.check_number("value", value)
            if boxes is not None:
                events.check_boxes(boxes)
            line = events.encode(
                events.Label(
                    self._model,
                    label_id or self._ids.new(),
                    source,
                    time.time_ns() // 1_000_000 if time_ms is None else time_ms,
                    prediction_id,
                    join_key,
                    events.as_label(label),
                    value,
                    text,
                    boxes,
                    by_kind,
                    by,
                    confidence,
                    explanation,
                    supersedes,
                )
            )
            self._put(_first_given(prediction_id, join_key), line)
        except Exception as raised:  # as above
            self._invalid(raised)

    def feedback(
        self,
        name: str,
        *,
        value: Number | None = None,
        label: str | int | None = None,
        prediction_id: str | None = None,
        join_key: str | None = None,
        unit_id: str | None = None,
        route: str | None = None,
        feedback_id: str | None = None,
        supersedes: str | None = None,
        time_ms: int | None = None,
    ) -> None:
        """What a user said about a request, or what a unit did, is on its way.

        Feedback about a unit goes to the client's route unless another is named.
        """
        try:
            events.check_number("value", value)
            by_unit = prediction_id is None and join_key is None
            line = events.encode(
                events.Feedback(
                    self._model,
                    feedback_id or self._ids.new(),
                    name,
                    time.time_ns() // 1_000_000 if time_ms is None else time_ms,
                    value,
                    events.as_label(label),
                    prediction_id,
                    join_key,
                    unit_id,
                    route or (self._route if by_unit else None),
                    supersedes,
                )
            )
            self._put(_first_given(prediction_id, join_key, unit_id), line)
        except Exception as raised:  # as above
            self._invalid(raised)

    def outcome_missing(
        self,
        prediction_id: str,
        *,
        source: str = "outcome",
        reason: str | None = None,
        join_key: str | None = None,
        time_ms: int | None = None,
    ) -> None:
        """No label of this source will ever come: abandoned, censored, opted_out or lost."""
        try:
            now_ms = time.time_ns() // 1_000_000 if time_ms is None else time_ms
            line = events.encode(
                events.OutcomeMissing(self._model, prediction_id, source, now_ms, reason, join_key)
            )
            self._put(prediction_id, line)
        except Exception as raised:  # as above
            self._invalid(raised)

    def stats(self) -> Stats:
        """What became of the events so far, and which route table decides."""
        table = None if self._pinned else self._routes.table
        decides = None if table is None else table.version
        return msgspec.structs.replace(super().stats(), route_version=decides)

    def close(self, timeout_s: float | None = None) -> None:
        """As `Running.close`; no route table is asked for any more."""
        self._routes.close()
        super().close(timeout_s)

    def _begin(self) -> None:
        super()._begin()
        self._routes = Routes(
            self._routes_server,
            RouteCache(self._folder, self._scope, self._route),
            ReaderName(self._folder, self._scope, self._route),
            model=self._model,
            route=self._route,
            limits=self._limits,
            notices=self._notices,
        )
        self._reviews = Reviews(
            self._routes_server, self._model, self._notices, closed=lambda: self._closed
        )

    def _begin_in_child(self) -> None:
        parents = self._routes
        super()._begin_in_child()
        self._routes.remember(parents)
        parents.abandon()

    def _tally(self, given: Assignment, *, now_ms: int) -> Tally | None:
        minute_ms = minute_of(given.prediction_id, now_ms=now_ms)
        return self._counts.tally(
            Key(minute_ms, self._model, given.route, given.route_version, given.arm)
        )


def _way(
    url: str,
    key: str | None,
    ca_file: str | None,
    security: Mapping[str, Any] | None,
    *,
    asks_server: bool,
) -> Callable[..., Transport]:
    """How the server at `url` is reached."""
    if not url.startswith(SCHEME):
        if security is not None:
            raise ValueError(f"security is for {SCHEME} URLs; over HTTP a key says who we are")
        return partial(HttpTransport, url, key=key, ca_file=ca_file)
    if key is not None and not asks_server:
        raise ValueError("Kafka knows no API keys: who we are goes into security")
    trusted = {} if ca_file is None else {"ssl_cafile": ca_file}
    return partial(KafkaTransport, url, security=trusted | dict(security or {}))


def _first_given(*keys: str | None) -> str:
    """The id that decides with whom an event is kept or dropped."""
    for key in keys:
        if key is not None:
            return key
    raise ValueError("it needs a prediction_id, a join_key or a unit_id")
