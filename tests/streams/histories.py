"""Hypothesis strategies for histories: what services may send, in any order, from a small world.

Ids, join keys, labels and times are few, so that repeats, pairs, conflicts, corrections, orphans
and late events meet each other often. `histories()` is anything at all; `orderly()` is what the
law of reordering speaks of: windows of at most the allowed lateness, and no contradictions.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st

from streams.hashing import partition_of
from streams.models import Declaration, Slice, Term
from streams.plans import EpochPlan
from tests.streams.spine import LATENESS_MS, T0

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
PARTITIONS = 3

SPAM = Declaration(
    model="spam", task="classification", classes=("ham", "spam"),
    thresholds={"default": 0.6, "strict": 0.9}, horizons={"outcome": "10m", "audit": "2h"},
    slices=(
        Slice(name="br", where=(Term(tag="country", equals="BR"),)),
        Slice(name="big", where=(Term(feature="amount", at_least=10.0, below=20.0),)),
        Slice(name="new", where=(Term(feature="age", missing=True), Term(tag="tier", equals="a"))),
        Slice(name="on", where=(Term(feature="on", equals=True),)),
    ),
)  # fmt: skip
DIGITS = Declaration(
    model="digits", task="classification", classes=("1", "2", "3"), join="first",
    horizons={"outcome": "1m", "feedback:clicked": "2h"},
)  # fmt: skip
DIGITS_LATER = Declaration(
    model="digits", task="classification", classes=("1", "2", "3"), join="all",
    horizons={"outcome": "20m"},
)  # fmt: skip
PRICE = Declaration(model="price", task="regression", join="all", horizons={"outcome": "200m"})
NOTES = Declaration(model="notes", task="text", horizons={"audit": "3m"})
REVISIONS = [(SPAM, T0), (DIGITS, T0), (DIGITS_LATER, T0 + HOUR), (PRICE, T0), (NOTES, T0)]
EPOCHS = [EpochPlan("spam", "default", 7, 70), EpochPlan("digits", "beta", 8, 80)]
MODELS = ("spam", "spam", "digits", "digits", "price", "notes", "wild")

_UUID7 = f"{T0:012x}"
REQUESTS = (
    f"{_UUID7[:8]}-{_UUID7[8:]}-7000-8000-000000000001",
    f"{_UUID7[:8]}-{_UUID7[8:]}-7000-8000-000000000002",
    "a-1", "b:2", "11111111-2222-4333-8444-555555555555",
)  # fmt: skip
JOINS = {REQUESTS[1]: "order-1", "a-1": "order-1", "b:2": REQUESTS[4]}  # of a well-kept service
NEIGHBOURS = (REQUESTS[:1], REQUESTS[1:3], REQUESTS[1:4], REQUESTS[3:], REQUESTS[::2])
VERSIONS = ("v1", "v2", "v3")
CLASSES = {"spam": ("ham", "spam", "eggs"), "digits": ("1", "2", "3"), "wild": ("x", "y")}
DELAYS = (
    0,
    0,
    0,
    1_000,
    90_000,
    3 * MINUTE,
    15 * MINUTE,
    3 * HOUR,
    100 * DAY,
    -4 * MINUTE,
    -10 * MINUTE,
)
STEPS = (0, 0, 0, 0, 500, 20_000, 70_000, 100_000, 150_000, 6 * MINUTE, 40 * MINUTE, 5 * HOUR)


def revisions_in_json() -> dict[str, list[tuple[int, dict[str, Any]]]]:
    """The declarations as the oracle takes them: plain values, with their beginnings."""
    plain: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for declaration, from_ms in REVISIONS:
        of_model = plain.setdefault(declaration.model, [])
        of_model.append((from_ms if of_model else 0, msgspec.to_builtins(declaration)))
    return plain


class Sent(tuple[int, int, list[dict[str, Any]]]):
    """(partition, appended_ms, events) of one log record."""

    __slots__ = ()

    @property
    def lines(self) -> list[bytes]:
        return [json.dumps(event).encode() for event in self[2]]


def _one(draw: Any, *choices: Any) -> Any:
    return draw(st.sampled_from(choices))


def _maybe(event: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return event | {name: value for name, value in fields.items() if value is not None}


SCORES = (0.0, 0.3, 0.5, 0.59999, 0.6, 0.60004, 0.95, 1.0)
OUTPUTS: dict[str, tuple[dict[str, Any], ...]] = {
    "spam": (
        *({"score": score} for score in SCORES),
        {"score": 0.7, "scenario": "strict"}, {"score": 0.7, "threshold": 0.8},
        {"label": "spam", "score": 0.2}, {"label": "eggs"}, {"scores": {"spam": 0.8, "ham": 0.2}},
        {"scores": {"ham": 0.8}},
    ),
    "digits": (
        {"label": "1", "score": 0.9}, {"label": "2"}, {"scores": {"1": 0.2, "3": 0.7}},
        {"scores": {"1": 0.5, "2": 0.5}}, {"label": "2", "scores": {"1": 0.9, "2": 0.1}},
        {"score": 0.4},
    ),
    "price": ({"value": 1.5}, {"value": 1.50005}, {"value": -2e9}, {"value": 3, "score": 0.5}),
    "notes": ({"text": "fine"}, {"text": "fïne\n"}, {"label": "ok"}),
    "wild": (
        {"label": "x", "score": 0.8}, {"label": "y"}, {"scores": {"x": 0.1, "z": 0.9}},
        {"value": 4.0}, {"score": 0.5},
        {"boxes": [{"label": "car", "box": [0, 0, 2, 2]}], "image": {"width": 9, "height": 9}},
    ),
}  # fmt: skip


def _answer(draw: Any, model: str, request: str, version: str) -> dict[str, Any]:
    event = {"type": "io.penstock.prediction.v1", "prediction_id": request, "version": version}
    if draw(st.integers(0, 9)) == 0:
        event["error"] = {"type": "Timeout"}
    else:
        event["output"] = _one(draw, *OUTPUTS[model])
    return _maybe(
        event,
        role=_one(draw, None, "live", "shadow", "proposed"),
        route=_one(draw, None, None, "beta"),
        arm=_one(draw, None, "champion", "challenger"),
        route_version=_one(draw, None, 7, 8, 9),
        unit_id=_one(draw, None, "u1", "u2"),
        latency_ms=_one(draw, None, 0, 0.5, 12.25, 86_400_000),
        tags=_one(draw, None, {"country": "BR"}, {"tier": "a"}),
        features=_one(draw, None, {"amount": 10}, {"amount": 20.0, "on": True, "age": None},
                      {"amount": "15", "on": 1, "age": 3.5}),
    )  # fmt: skip


def _truth(draw: Any, model: str) -> dict[str, Any]:
    if model in CLASSES:
        return {"label": _one(draw, *CLASSES[model])}
    return _one(draw, {"value": 1.5}, {"value": 2.5}) if model == "price" else {"text": "right"}


def _target(draw: Any, request: str, join: str | None) -> dict[str, Any]:
    by_id, by_join = {"prediction_id": request}, {"join_key": join or request}
    return _one(draw, by_id, by_join, by_id | by_join)


def _label(draw: Any, model: str, request: str, join: str | None) -> dict[str, Any]:
    event = {
        "type": "io.penstock.label.v1", "label_id": _one(draw, "l1", "l2", "l3", "l4"),
        **_target(draw, request, join),
    }  # fmt: skip
    supersedes = _one(draw, None, None, "l1", "l2")
    said = {} if supersedes and draw(st.booleans()) else _truth(draw, model)
    return _maybe(event | said, supersedes=supersedes, source=_one(draw, None, None, "audit"),
                  by_kind=_one(draw, None, "human"))  # fmt: skip


def _missing(draw: Any, request: str) -> dict[str, Any]:
    return {"type": "io.penstock.outcome-missing.v1", "prediction_id": request,
            "source": _one(draw, "outcome", "outcome", "audit")}  # fmt: skip


def _feedback(draw: Any, request: str, join: str | None) -> dict[str, Any]:
    unit = {"unit_id": _one(draw, "u1", "u2"), "route": _one(draw, "default", "beta")}
    where = _one(draw, _target(draw, request, join), unit)
    event = {"type": "io.penstock.feedback.v1", "name": _one(draw, "clicked", "stars"),
             "feedback_id": _one(draw, "f1", "f2", "f3", "f4"), **where}  # fmt: skip
    supersedes = _one(draw, None, None, "f1", "f2")
    said = {} if supersedes and draw(st.booleans()) else _one(draw, {"value": 1}, {"label": "x"})
    return _maybe(event | said, supersedes=supersedes)


def _assigned(draw: Any, appended_ms: int) -> dict[str, Any]:
    minute = (appended_ms - _one(draw, 0, MINUTE)) // MINUTE * MINUTE
    counts = {name: draw(st.integers(0, 5)) for name in ("assigned", "answered", "dropped")}
    return _maybe(
        {"type": "io.penstock.assigned.v1", "instance": _one(draw, "i1", "i2"), "minute": minute,
         "arm": _one(draw, "champion", "challenger"), **counts},
        route_version=_one(draw, None, 7),
    )  # fmt: skip


class World(NamedTuple):
    """The part of the small world that one history happens in, so that its events meet."""

    models: list[str]
    requests: tuple[str, ...]
    join_of: Callable[[Any, str], str | None]


def _world(draw: Any, *, sloppy: bool) -> World:
    return World(
        draw(st.lists(st.sampled_from(MODELS), min_size=1, max_size=2)),
        _one(draw, *NEIGHBOURS),
        _any_join if sloppy else (lambda _, request: JOINS.get(request)),
    )


def _event(draw: Any, appended_ms: int, world: World) -> dict[str, Any]:
    model, request = _one(draw, *world.models), _one(draw, *world.requests)
    join = world.join_of(draw, request)
    kind = _one(draw, "answer", "answer", "answer", "label", "label", "missing", "feedback",
                "assigned")  # fmt: skip
    match kind:
        case "answer":
            event = _maybe(_answer(draw, model, request, _one(draw, *VERSIONS)), join_key=join)
        case "label":
            event = _label(draw, model, request, join)
        case "missing":
            event = _missing(draw, request)
        case "feedback":
            event = _feedback(draw, request, join)
        case _:
            event = _assigned(draw, appended_ms)
    return {"model": model, "time": appended_ms - _one(draw, *DELAYS), **event}


def home_of(event: dict[str, Any]) -> int:
    """The partition that ingest sends an event to."""
    key = event.get("instance") or event.get("join_key") or event.get("prediction_id")
    return partition_of(event["model"], key or event["unit_id"], PARTITIONS)


def _any_join(draw: Any, request: str) -> str | None:
    return _one(draw, JOINS.get(request), JOINS.get(request), None, "order-1", REQUESTS[0])


@st.composite
def histories(draw: Any, *, max_size: int = 30) -> list[Sent]:
    """Anything that services may send, contradictions, strays and stale events with it."""
    appended_ms = T0
    sent: list[Sent] = []
    events: list[dict[str, Any]] = []
    sloppy = draw(st.booleans())
    world = _world(draw, sloppy=sloppy)
    for _ in range(draw(st.integers(1, max_size))):
        appended_ms += _one(draw, *STEPS)
        if events and draw(st.integers(0, 6)) == 0:
            event = _one(draw, *events)  # sent again
        else:
            event = _event(draw, appended_ms, world)
            events.append(event)
        partition = home_of(event)
        if sloppy and draw(st.integers(0, 9)) == 0:
            partition = (partition + 1) % PARTITIONS
        if sent and sent[-1][:2] == (partition, appended_ms):
            sent[-1][2].append(event)
        else:
            sent.append(Sent((partition, appended_ms, [event])))
    return sent


@st.composite
def orderly(draw: Any, *, windows: int = 3, max_size: int = 10) -> list[list[Sent]]:
    """Windows of events that may arrive in any order within each: nothing contradicts, no answer
    is proposed and live, no request is answered live by two versions, and within a window times
    differ by less than the allowed lateness, while the log's clock stands at its end.
    """
    held = []
    begin = T0
    world = _world(draw, sloppy=False)
    said: dict[Any, dict[str, Any]] = {}
    for _ in range(draw(st.integers(1, windows))):
        begin += _one(draw, LATENESS_MS, 15 * MINUTE, 5 * HOUR)
        window = []
        for _ in range(draw(st.integers(1, max_size))):
            time = begin + draw(st.integers(0, LATENESS_MS - 1))
            event = _event(draw, time, world) | {"time": time}
            if "instance" not in event:
                event = said.setdefault(_identity(event), _settled(event))
            window.append(Sent((home_of(event), begin + LATENESS_MS, [event])))
        held.append(window)
    return held


def _identity(event: dict[str, Any]) -> tuple[Any, ...]:
    """The natural key: what is drawn first under it is what is sent each time."""
    own_id = event.get("label_id") or event.get("feedback_id")
    names = ("prediction_id", "version", "source")
    return (event["type"], event["model"], own_id or tuple(event.get(name) for name in names))


def _settled(event: dict[str, Any]) -> dict[str, Any]:
    """Each version has one role, and what is said of a request goes where its answers go."""
    if "version" in event:
        return event | {"role": {"v1": "live", "v2": "shadow", "v3": "proposed"}[event["version"]]}
    return _maybe(event, join_key=event.get("join_key") or JOINS.get(event.get("prediction_id")))
