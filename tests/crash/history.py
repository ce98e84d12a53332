"""A seeded history, as three services and their labelers would send it over some days.

Everything that a crash could lose or double is in it: live answers and shadow pairs, answers that
wait to be confirmed, labels early, late, corrected, retracted and by order number alone, feedback
about requests and units, assigned counts, repeats, contradictions and events that cannot be taken.

A day is twenty minutes long and hours from the next. Within a day no pane that its events enter
can freeze, whatever their order; the first events of the next day freeze all of them. So what is
counted is a function of the events alone, provided a day is sent once the one before is counted.
"""

import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from streams.models import Declaration, Slice, Term

MINUTE, HOUR = 60_000, 3_600_000
DAY_MS = 20 * MINUTE
STEP_MS = 3 * HOUR
LANES = 3
"""Senders. All events of one request, order or unit go through the same one, in their order."""

Event = dict[str, Any]

DECLARATIONS = (
    Declaration(
        model="spam", task="classification", classes=("ham", "spam"), thresholds={"default": 0.6},
        horizons={"outcome": "1h", "audit": "2h", "feedback:clicked": "1h"}, join="all",
        slices=(
            Slice(name="br", where=(Term(tag="country", equals="BR"),)),
            Slice(name="big", where=(Term(feature="amount", at_least=10.0),)),
        ),
    ),
    Declaration(model="digits", task="classification", classes=("1", "2", "3"),
                horizons={"outcome": "1h"}),
)  # fmt: skip
MODELS = ("spam", "spam", "spam", "digits", "wild")
CLASSES = {"spam": ("ham", "spam"), "digits": ("1", "2", "3"), "wild": ("x", "y", "z")}


class History(NamedTuple):
    """`days[d][lane]` are the lines that one sender sends on one day."""

    seed: int
    begin_ms: int
    days: list[list[list[bytes]]]

    @property
    def size(self) -> int:
        return sum(len(lines) for day in self.days for lines in day)


def history(seed: int, *, now_ms: int, days: int, requests: int) -> History:
    """`requests` a day, each with all that is said of it: about twice as many events."""
    begin_ms = (now_ms - days * STEP_MS) // HOUR * HOUR
    draw = random.Random(seed)
    return History(seed, begin_ms, [
        _day(draw, day, begin_ms + day * STEP_MS, requests) for day in range(days)
    ])  # fmt: skip


def _day(draw: random.Random, day: int, begin_ms: int, requests: int) -> list[list[bytes]]:
    lanes: list[list[tuple[int, bytes]]] = [[] for _ in range(LANES)]
    for k in range(requests):
        at = k * (DAY_MS - 2 * MINUTE) // requests  # the last labels have two minutes to come
        number = day * requests + k
        for delay, event in _request(draw, number):
            event.setdefault("time", begin_ms + at + delay)
            line = json.dumps(event, separators=(",", ":")).encode()
            lanes[number // 2 % LANES].append((at + delay, line))
            if draw.random() < 0.01:
                lanes[number // 2 % LANES].append((at + delay, line))
        if day and draw.random() < 0.01:
            before = number - requests
            late = _label(draw, _model(before), _id(before), number) | {"time": begin_ms + at}
            lanes[before // 2 % LANES].append((at, json.dumps(late).encode()))
        if k % 100 == 0:
            lanes[0] += [(at, json.dumps(e).encode()) for e in _counts(k, begin_ms + at, requests)]
        if k % (requests // 8) == 7:
            lanes[1].append((at, _bad(draw, number, begin_ms + at)))
    return [[line for _, line in sorted(lane, key=lambda sent: sent[0])] for lane in lanes]


def _model(number: int) -> str:
    return MODELS[number // 2 % len(MODELS)]


def _id(number: int) -> str:
    """Most are UUIDs, some are a service's own."""
    if number % 10 == 0:
        return f"req-{number}"
    digits = f"{number * 0x9E3779B97F4A7C15 % 2**128:032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


def _request(draw: random.Random, number: int) -> Iterator[tuple[int, Event]]:
    """(delay, event) of everything that is said of one request."""
    chance = draw.random
    model = _model(number)
    order = f"order-{number // 2}" if number // 2 % 6 == 0 else None
    about = {"prediction_id": _id(number)} | ({"join_key": order} if order else {})
    answer = {"type": "io.penstock.prediction.v1", "model": model, **about, "version": "v1",
              "arm": draw.choice(("champion", "challenger")), "route_version": 7,
              "unit_id": f"u{number // 2 % 5_000}", "output": _output(draw, model),
              "latency_ms": draw.randrange(1, 900) / 8, "features": {"amount": draw.randrange(30)},
              "tags": {"country": draw.choice(("BR", "PT"))}}  # fmt: skip
    if chance() < 0.02:
        del answer["output"]
        answer["error"] = {"type": "Timeout"}
    early = chance() < 0.02  # its labels come before it
    yield 30_000 if early else 0, answer
    if chance() < 0.2:
        shadow = answer | {"version": "v2", "role": "shadow", "output": _output(draw, model)}
        shadow.pop("error", None)
        yield 10, shadow
    if chance() < 0.03:
        waits = answer | {"version": "v3", "role": "proposed"}
        yield from ((20, waits), (50_000, waits | {"role": "live"}))
    if chance() < 0.002 and "output" in answer:
        yield 60_000, answer | {"output": {"label": "never"}}  # a contradiction: a dead letter
    if chance() < 0.01:
        yield 70_000, answer | {"version": "v4"}  # a second live one: a conflict
    if chance() < 0.4:
        yield from _labels(draw, model, number, order)
    if chance() < 0.02:
        yield 80_000, {"type": "io.penstock.outcome-missing.v1", "model": model,
                       "prediction_id": _id(number), "source": "outcome"}  # fmt: skip
    yield from _feedback(draw, model, number)


def _output(draw: random.Random, model: str) -> Event:
    if model == "spam":
        return {"score": draw.randrange(1000) / 1000}
    if model == "wild" and draw.random() < 0.1:
        return {"text": f"said {draw.randrange(100)}"}
    return {"label": draw.choice(CLASSES[model]), "score": draw.randrange(1000) / 1000}


def _label(draw: random.Random, model: str, request: str, number: int) -> Event:
    return {"type": "io.penstock.label.v1", "model": model, "label_id": f"l-{number}",
            "prediction_id": request, "label": draw.choice(CLASSES[model])}  # fmt: skip


def _labels(
    draw: random.Random, model: str, number: int, order: str | None
) -> Iterator[tuple[int, Event]]:
    first = _label(draw, model, _id(number), number)
    if order and draw.random() < 0.5:
        first |= {"join_key": order}
        if draw.random() < 0.5:
            del first["prediction_id"]
    if draw.random() < 0.01:
        first |= {"prediction_id": f"nothing-{number}", "label_id": f"o-{number}"}
    yield 5_000 + draw.randrange(20_000), first
    if draw.random() < 0.1:
        again = {"label_id": f"l-{number}-2", "supersedes": f"l-{number}"}
        corrected = first | again | {"label": draw.choice(CLASSES[model])}
        if draw.random() < 0.2:
            del corrected["label"]  # taken back
        yield 40_000, corrected
    if draw.random() < 0.1:
        yield 30_000, first | {"label_id": f"a-{number}", "source": "audit", "by_kind": "human"}


def _feedback(draw: random.Random, model: str, number: int) -> Iterator[tuple[int, Event]]:
    told = {"type": "io.penstock.feedback.v1", "model": model, "name": "clicked"}
    if draw.random() < 0.05:
        yield 9_000, told | {"feedback_id": f"f-{number}", "prediction_id": _id(number), "value": 1}
    if draw.random() < 0.05:
        unit = {"unit_id": f"u{number // 2 % 5_000}", "route": "default"}
        once = told | unit | {"feedback_id": f"u-{number}", "name": "stars", "value": number % 5}
        yield 9_000, once
        if draw.random() < 0.3:
            yield 12_000, once | {"feedback_id": f"u-{number}-2", "supersedes": f"u-{number}"}


def _counts(k: int, now_ms: int, requests: int) -> list[Event]:
    """Cumulative counts of two client processes, each minute's growing until it ends."""
    minute = now_ms - now_ms % MINUTE
    within = k % max(1, requests * MINUTE // DAY_MS)
    return [
        {"type": "io.penstock.assigned.v1", "model": "spam", "instance": instance, "time": now_ms,
         "minute": minute, "route_version": 7, "arm": arm, "assigned": within + 3,
         "answered": within + 1, "dropped": within // 9}
        for instance in ("host-1", "host-2") for arm in ("champion", "challenger")
    ]  # fmt: skip


def _bad(draw: random.Random, number: int, now_ms: int) -> bytes:
    good = {"type": "io.penstock.prediction.v1", "model": "spam", "version": "v1",
            "prediction_id": f"bad-{number}", "time": now_ms, "output": {"score": 0.5}}  # fmt: skip
    return draw.choice((
        json.dumps(good | {"output": {"score": 1.5}}).encode(),
        json.dumps(good | {"type": "io.penstock.odd.v9"}).encode(),
        json.dumps(good | {"prediction_id": f"with space {number}"}).encode(),
        json.dumps(good).encode()[:-1],
    ))  # fmt: skip
