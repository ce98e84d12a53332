"""What `events.md` says a history comes to, sections 2 to 4, one event at a time in plain dicts.

Slow and naive on purpose: after every event it asks anew what the labels say of every answer.
It shares nothing with `streams`; events and declarations are plain JSON values. `content` has
the shape of `tests.streams.spine.content`.
"""

import uuid
from collections import Counter, defaultdict
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
SKEW, RETENTION, MARGIN = 5 * MINUTE, 90 * DAY, 7 * DAY
NEVER = -(2**62)
ERROR, SKEWED, CONFLICT, UNKNOWN_ROUTE = 1, 2, 4, 8
OBSERVED = {"task": "observed", "horizons": {"outcome": "7d"}}
UNITS = {"ms": 1, "s": 1000, "m": MINUTE, "h": HOUR, "d": DAY}
STATES = {None: "none", "missing": "missing"}  # any other truth: labelled

Address = tuple[str, int, bytes]  # model, day, pid16


def pid16(text: str) -> bytes:
    try:
        if text == str(uuid.UUID(text)):
            return uuid.UUID(text).bytes
    except ValueError:
        pass
    return blake2b(text.encode(), digest_size=16).digest()


def day_of(text: str) -> int:
    """The date in a UUIDv7, in days since 2020-01-01, or 0."""
    try:
        value = uuid.UUID(text)
    except ValueError:
        return 0
    if str(value) != text or text[14] != "7":
        return 0
    date = datetime.fromtimestamp((value.int >> 80) / 1000, UTC)
    days = (date - datetime(2020, 1, 1, tzinfo=UTC)).days
    return days if days > 0 and date.year <= 2057 else 0


def id8(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest()


def duration(text: str) -> int:
    number = text.rstrip("smhd")
    return int(number) * UNITS[text[len(number) :]]


class Oracle:
    """Counts a history. `declarations`: by model, (from_ms, declaration) in order of from_ms."""

    def __init__(
        self,
        *,
        declarations: dict[str, list[tuple[int, dict[str, Any]]]],
        epochs: dict[tuple[str, str, int], int],
        lateness_ms: int,
    ) -> None:
        self._declarations = declarations
        self._epochs = epochs
        self._lateness_ms = lateness_ms
        self._watermark: dict[int, int] = defaultdict(lambda: NEVER)
        self._next: dict[int, int] = defaultdict(int)
        self._forwards: list[tuple[int, int, dict[str, Any], int]] = []
        self._rows: dict[Address, dict[str, dict[str, Any]]] = defaultdict(dict)
        self._group: dict[Address, Address] = {}
        self._labels: dict[Address, list[dict[str, Any]]] = defaultdict(list)
        self._orphans: dict[Address, list[dict[str, Any]]] = defaultdict(list)
        self._confirmed: dict[tuple[Any, ...], tuple[int, int, int]] = {}
        self._reports: dict[tuple[str, str], dict[str, Any]] = {}
        self._assigned: dict[tuple[Any, ...], list[int]] = {}
        self._dead: dict[tuple[int, int, int], tuple[str, str, int]] = {}
        self._cells: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
        self._due: dict[tuple[Any, ...], int] = {}
        self._matured: dict[tuple[Any, ...], Any] = {}  # (row key, source) -> state in its pane

    # --- feeding

    def record(self, partition: int, appended_ms: int, events: list[Any], *, hops: int = 0) -> None:
        """One log record with these events."""
        offset = self._next[partition]
        self._next[partition] = offset + 1
        for index, event in enumerate(events):
            self._take((partition, offset, index), appended_ms, event, hops)

    def settle(self) -> None:
        """What was sent on arrives, until nothing is left to send."""
        while self._forwards:
            sent, self._forwards = self._forwards, []
            for partition, appended_ms, event, hops in sent:
                self.record(partition, appended_ms, [event], hops=hops)

    def _take(self, place: tuple[int, int, int], appended: int, event: Any, hops: int) -> None:
        partition = place[0]
        here = {
            "place": place, "appended": appended, "event": event, "model": event["model"],
            "time": min(event["time"], appended), "hops": hops,
            "watermark": self._watermark[partition],
        }  # fmt: skip
        newest = self._declarations.get(event["model"], [(0, OBSERVED)])[-1][1]
        longest = max(map(duration, newest["horizons"].values()), default=0)
        if appended - here["time"] > max(RETENTION, longest + MARGIN):
            self._bury(here, "too_late", "time")
            return
        before = self._says()
        kind = event["type"].split(".")[2]
        if kind == "prediction":
            self._answer(here)
        elif kind == "assigned":
            self._count_assigned(here)
        elif event.get("prediction_id") is None and event.get("join_key") is None:
            self._report(here)
        else:
            self._label(here)
        self._differ(here, before, self._says())
        reached = here["time"] - self._lateness_ms
        self._watermark[partition] = max(self._watermark[partition], reached)

    # --- answers

    def _answer(self, here: dict[str, Any]) -> None:
        event, model = here["event"], here["model"]
        key = (model, day_of(event["prediction_id"]), pid16(event["prediction_id"]))
        join = event.get("join_key") or event["prediction_id"]
        rows = self._rows.get(key, {})
        group = self._group.get(key) if rows else (model, day_of(join), pid16(join))
        assert group is not None
        home = self._home(rows or self._rows_of_group(group))
        if home is not None and home != here["place"][0]:
            self._forward(here, home)
            return
        row = self._row(here)
        if event["version"] in rows:
            self._repeat(here, key, rows[event["version"]], row)
            return
        live = [r for r in rows.values() if r["role"] == "live" and not r["flags"] & CONFLICT]
        if live and row["role"] == "live":
            row["flags"] |= CONFLICT
            self._note(here, "conflict")
        self._rows[key][event["version"]] = row
        self._group[key] = group
        for address in {key, group}:
            waiting = self._orphans[address]
            mine = [o for o in waiting if address == (group if o["by_join"] else key)]
            self._orphans[address] = [o for o in waiting if o not in mine]
            self._labels[address] += mine

    def _home(self, rows: dict[Any, dict[str, Any]]) -> int | None:
        return next((row["place"][0] for row in rows.values()), None)

    def _rows_of_group(self, group: Address) -> dict[Any, dict[str, Any]]:
        return {
            (key, version): row
            for key, rows in self._rows.items()
            if self._group.get(key) == group
            for version, row in rows.items()
        }

    def _row(self, here: dict[str, Any]) -> dict[str, Any]:
        event = here["event"]
        output = event.get("output")
        declared = self._declared(here["model"], here["time"])
        said, score, top = decide(output, declared) if output else (None, None, None)
        route_version = event.get("route_version")
        route = event.get("route", "default")
        epoch = 0 if route_version is None else self._epochs.get(
            (event["model"], route, route_version)
        )  # fmt: skip
        flags = ERROR if output is None else 0
        flags |= SKEWED if event["time"] > here["appended"] + SKEW else 0
        flags |= UNKNOWN_ROUTE if epoch is None else 0
        latency = event.get("latency_ms")
        return {
            "place": here["place"], "event_ms": here["time"], "role": event.get("role", "live"),
            "route": route, "arm": event.get("arm"), "epoch": epoch or 0,
            "unit": event.get("unit_id") is not None, "slices": mask(declared, event),
            "decision": said, "value": (output or {}).get("value"), "score": score,
            "level": -1 if top is None else min(int((1 - top) * 16), 15),
            "latency_us": None if latency is None else min(int(latency * 1000), 2**31 - 1),
            "flags": flags,
            "model": here["model"], "version": event["version"], "watermark": here["watermark"],
        }  # fmt: skip

    def _repeat(self, here: Any, key: Address, first: dict[str, Any], again: Any) -> None:
        same = first["decision"] == again["decision"] and all(
            (first[name] is None) == (again[name] is None)
            and (first[name] is None or abs(first[name] - again[name]) < 1e-4)
            for name in ("score", "value")
        )
        if not same:
            self._note(here, "conflict")
            self._bury(here, "conflict", "output")
        elif (
            first["role"] == "proposed"
            and again["role"] == "live"
            and (key, first["version"]) not in self._confirmed
        ):
            self._confirmed[key, first["version"]] = here["place"]
            self._note(here, "confirmed")
        else:
            self._note(here, "duplicate")

    # --- labels

    def _label(self, here: dict[str, Any]) -> None:
        event, model = here["event"], here["model"]
        by_join = event.get("prediction_id") is None
        named = event["join_key"] if by_join else event["prediction_id"]
        address = (model, day_of(named), pid16(named))
        rows = self._rows_of_group(address) if by_join else self._rows.get(address, {})
        home = self._home(rows)
        if home is not None and home != here["place"][0]:
            self._forward(here, home)
            return
        label = read_label(event, here)
        identity = (label["source"], label["id8"])
        for known in self._labels[address] + self._orphans[address]:
            if (known["source"], known["id8"]) == identity:
                same = (known["said"], known["value"]) == (label["said"], label["value"])
                self._note(here, "duplicate" if same else "conflict")
                if not same:
                    field = "feedback_id" if "feedback_id" in event else "label_id"
                    self._bury(here, "conflict", field)
                return
        if rows:
            self._labels[address].append(label)
        else:
            self._orphans[address].append(label)
            self._note(here, "orphan")

    def _says(self) -> dict[tuple[Address, str, str], list[dict[str, Any]]]:
        """The labels of each answer and source, as known now."""
        says: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for address, labels in self._labels.items():
            for label in labels:
                for key in self._meant(address, label):
                    for version in self._rows[key]:
                        says[key, version, label["source"]].append(label)
        return dict(says)

    def _meant(self, address: Address, label: dict[str, Any]) -> list[Address]:
        if not label["by_join"]:
            return [address]
        members = [key for key, group in self._group.items() if group == address]
        first = {
            key: (min(row["event_ms"] for row in self._rows[key].values()), key[1:])
            for key in members
        }
        rule = self._declared(address[0], label["observed"]).get("join", "latest")
        if rule == "latest":
            members = [key for key in members if first[key][0] <= label["observed"]]
        if rule == "all" or not members:
            return members
        return [(max if rule == "latest" else min)(members, key=first.__getitem__)]

    # --- frozen panes

    def _differ(self, here: dict[str, Any], before: Any, after: Any) -> None:
        """What this event changed in panes that freeze."""
        for key, rows in self._rows.items():
            for version, row in rows.items():
                if row["place"] == here["place"]:
                    self._mature_answer(key, row)
                for source in self._declared(key[0], row["event_ms"])["horizons"]:
                    at = (key, version, source)
                    old, new = before.get(at, []), after.get(at, [])
                    if old != new:
                        self._mature_label(here, at, row, old, new)

    def _pane(self, row: dict[str, Any], source: str) -> tuple[tuple[Any, ...], int]:
        horizon = duration(self._declared(row["model"], row["event_ms"])["horizons"][source])
        width = next((w for w in (6 * HOUR, HOUR, 10 * MINUTE) if w <= horizon / 100), MINUTE)
        pane = row["event_ms"] // width * width
        series = (row["model"], row["version"], row["role"], row["arm"], source, str(horizon))
        return (series, pane, row["place"][0]), pane + width + horizon

    def _mature_answer(self, key: Address, row: dict[str, Any]) -> None:
        for source in self._declared(key[0], row["event_ms"])["horizons"]:
            (series, pane, partition), due = self._pane(row, source)
            if row["watermark"] <= due:
                self._cells["matured", *series][pane, partition, due, "answered"] += 1
            else:
                self._cells["late", *series][pane, partition, None, "late_answers"] += 1

    def _mature_label(self, here: Any, at: Any, row: Any, old: Any, new: Any) -> None:
        (series, pane, partition), due = self._pane(row, at[2])
        timely = here["watermark"] <= due
        in_pane = [state([x for x in said if x["observed"] <= due]) for said in (old, new)]
        cells = self._cells["matured", *series]
        if timely:
            was = self._matured.get(at)  # what this answer says in its pane so far
            assert (was or "none") == in_pane[0]
            self._matured[at] = in_pane[1]
            for name, sign in ((in_pane[1], 1), (in_pane[0], -1)):
                if name != "none":
                    counted = "labelled" if name == "labelled" else "declared_missing"
                    cells[pane, partition, due, counted] += sign
        whole = state(old), state(new)
        if whole[0] != whole[1] and not (timely and in_pane[0] != in_pane[1]):
            move = f"{whole[0]}_to_{whole[1]}"
            self._cells["late", *series][pane, partition, None, move] += 1

    # --- counts about no request

    def _report(self, here: dict[str, Any]) -> None:
        event = here["event"]
        key = (here["model"], event["feedback_id"])
        if key in self._reports:
            self._note(here, "duplicate")
        else:
            self._reports[key] = here

    def _count_assigned(self, here: dict[str, Any]) -> None:
        event = here["event"]
        names = ("instance", "minute", "model")
        key = (*(event[n] for n in names), event.get("route", "default"),
               event.get("route_version", -1), event["arm"])  # fmt: skip
        said = [event[name] for name in ("assigned", "answered", "dropped")]
        had = self._assigned.get(key, [0, 0, 0])
        self._assigned[key] = [max(pair) for pair in zip(had, said, strict=True)]
        for name, a, b in zip(("assigned", "answered", "dropped"), self._assigned[key], had,
                              strict=True):  # fmt: skip
            what = ("assigned", *key[2:])
            self._cells[what][event["minute"], here["place"][0], None, name] += a - b

    # --- what leaves, and what is noted

    def _forward(self, here: dict[str, Any], home: int) -> None:
        if here["hops"] >= 2:
            self._bury(here, "misrouted", "")
            return
        self._note(here, "misrouted")
        self._forwards.append((home, here["appended"], here["event"], here["hops"] + 1))

    def _note(self, here: dict[str, Any], what: str) -> None:
        minute = here["appended"] // MINUTE * MINUTE
        partition = here["place"][0]
        self._cells["intake", what, here["model"]][minute, partition, None, "events"] += 1

    def _bury(self, here: dict[str, Any], code: str, field: str) -> None:
        self._dead[here["place"]] = (code, field, here["appended"])
        minute = here["appended"] // MINUTE * MINUTE
        self._cells["rejected", code][minute, here["place"][0], None, "events"] += 1

    def _declared(self, model: str, time: int) -> dict[str, Any]:
        held = OBSERVED
        for from_ms, declaration in self._declarations.get(model, []):
            held = declaration if from_ms <= time else held
        return held

    # --- the outcome

    def content(self) -> dict[str, Any]:
        """Everything, once nothing is left to send."""
        cells: dict[Any, dict[str, int]] = defaultdict(dict)
        due: dict[Any, int] = {}
        self._cells_at_last()
        for what, counted in self._cells.items():
            for (pane, partition, due_ms, name), count in counted.items():
                if count:
                    cells[what, pane, partition][name] = count
                    due |= {} if due_ms is None else {(what, pane, partition): due_ms}
        frozen = {at for at, due_ms in due.items() if due_ms < self._watermark[at[2]]}
        totals: dict[Any, Any] = {}
        for what, pane, partition in sorted(frozen, key=repr):
            total, panes = totals.get((what, partition), (Counter(), 0))
            totals[what, partition] = (total + Counter(cells[what, pane, partition]), panes + 1)
        hidden = ("model", "version", "watermark")
        return {
            "answers": {
                (*key, version): {k: v for k, v in row.items() if k not in hidden}
                for key, rows in self._rows.items()
                for version, row in rows.items()
            },
            "labels": {
                (*address, label["source"], label["id8"]): (
                    label["said"], label["value"], label["observed"], label["supersedes"],
                    int(label["by_join"]), label["by_kind"], label["place"],
                )
                for address, labels in self._labels.items()
                for label in labels
            },
            "orphans": {
                (*address, label["source"], label["id8"]): (
                    label["place"], label["appended"], label["hops"]
                )
                for address, labels in self._orphans.items()
                for label in labels
            },
            "joins": {
                (key[0], group[2], key[2]) for key, group in self._group.items() if key != group
            },
            "confirmations": {(*k, version): p for (k, version), p in self._confirmed.items()},
            "cells": dict(cells),
            "frozen": frozen,
            "totals": {at: (dict(total), panes) for at, (total, panes) in totals.items()},
            "dead": self._dead,
        }  # fmt: skip

    def _cells_at_last(self) -> None:
        """Counters that follow corrections: what the end of the history says, counted once."""
        says = self._says()
        for key, rows in self._rows.items():
            live = [r for r in rows.values() if r["role"] == "live" and not r["flags"] & CONFLICT]
            for version, row in rows.items():
                counted = display(row, says.get((key, version, "outcome"), []), live,
                                  self._declared(key[0], row["event_ms"]))  # fmt: skip
                what = ("pipe", key[0], version, row["role"], row["arm"])
                for name in counted:
                    pane = row["event_ms"] // MINUTE * MINUTE
                    self._cells[what][pane, row["place"][0], None, name] += 1
        superseded = {(m, r["event"].get("supersedes")) for (m, _), r in self._reports.items()}
        for key, report in self._reports.items():
            event = report["event"]
            says_something = event.get("value") is not None or event.get("label") is not None
            if key not in superseded and says_something:
                what = ("reported", key[0], event.get("route") or "default", event["name"])
                pane = report["time"] // MINUTE * MINUTE
                self._cells[what][pane, report["place"][0], None, "events"] += 1


# --- the rules of one event


def decide(output: dict[str, Any], declared: dict[str, Any]) -> tuple[Any, Any, Any]:
    """(decision, stored score, top score): the label, else score >= threshold, else argmax."""
    label, score, scores = (output.get(name) for name in ("label", "score", "scores"))
    classes = declared.get("classes", ())
    binary = declared["task"] == "classification" and len(classes) == 2
    positive = (declared.get("positive") or classes[1]) if binary else None
    if binary and score is None and scores is not None:
        score = scores.get(positive)
    if label is None and binary and score is not None:
        thresholds = declared.get("thresholds", {})
        threshold = output.get("threshold")
        if threshold is None:
            default = thresholds.get("default", 0.5)
            threshold = thresholds.get(output.get("scenario"), default)
        label = positive if score >= threshold else next(c for c in classes if c != positive)
    if label is None and scores is not None:
        label = max(scores, key=lambda name: (scores[name], name))
    if binary:
        top = None if score is None else max(score, 1 - score)
    else:
        top = score if scores is None else max(scores.values())
        score = score if scores is None else scores.get(label, score)
    if label is not None:
        return ("class", label), score, top
    if output.get("value") is not None:
        return "value", score, top
    bulky = output.get("boxes") is not None or output.get("text") is not None
    return "blob" if bulky else None, score, top


def mask(declared: dict[str, Any], event: dict[str, Any]) -> int:
    """Bit k is set where every term of slice k holds."""
    return sum(
        1 << slot
        for slot, part in enumerate(declared.get("slices", ()))
        if all(holds(term, event) for term in part["where"])
    )


def holds(term: dict[str, Any], event: dict[str, Any]) -> bool:
    of = "tags" if term.get("tag") else "features"
    value = event.get(of, {}).get(term.get("tag") or term.get("feature"))
    if term.get("missing"):
        return value is None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if term.get("is") is not None:
        wanted = term["is"]
        if isinstance(wanted, bool | str) or not number:
            return type(value) is type(wanted) and value == wanted
        return bool(value == wanted)
    low, high = term.get("from"), term.get("below")
    return number and (low is None or value >= low) and (high is None or value < high)


def read_label(event: dict[str, Any], here: dict[str, Any]) -> dict[str, Any]:
    kind = event["type"].split(".")[2]
    if kind == "outcome-missing":
        said, value, own_id = "missing", None, bytes(8)
    else:
        own_id = id8(event.get("label_id") or event["feedback_id"])
        said, value = None, event.get("value")
        if event.get("label") is not None:
            said = ("class", event["label"])
        elif value is not None:
            said = "value"
        elif event.get("text") is not None or event.get("boxes") is not None:
            said = "blob"
    source = f"feedback:{event['name']}" if kind == "feedback" else event.get("source", "outcome")
    return {
        "source": source, "id8": own_id, "said": said, "value": value, "observed": here["time"],
        "supersedes": int(event.get("supersedes") is not None),
        "by_join": event.get("prediction_id") is None,
        "by_kind": event.get("by_kind", "outcome"), "place": here["place"],
        "appended": here["appended"], "hops": here["hops"],
    }  # fmt: skip


def winner(labels: list[dict[str, Any]]) -> Any:
    """What holds: the label that supersedes, else the newest, else the larger id; or nothing."""
    best = max(
        labels,
        key=lambda x: (x["said"] != "missing", x["supersedes"], x["observed"], x["id8"]),
        default=None,
    )
    return None if best is None else best["said"]


def state(labels: list[dict[str, Any]]) -> str:
    said = winner(labels)
    return STATES.get(said, "labelled")


def display(row: Any, labels: list[Any], live: list[Any], declared: dict[str, Any]) -> list[str]:
    """The display cells in which one answer counts."""
    flags = ((ERROR, "errors"), (SKEWED, "skewed"), (CONFLICT, "conflicts"),
             (UNKNOWN_ROUTE, "unknown_route"))  # fmt: skip
    cells = ["answered", *(name for flag, name in flags if row["flags"] & flag)]
    if row["latency_us"] is not None:
        square = max(row["latency_us"], 1) ** 2
        cells.append(f"latency_{min(square.bit_length() - 1, 47)}")  # 2^k <= us^2 < 2^(k+1)
    if row["role"] != "live" and live:
        cells.append("paired")
        cells += ["disagreed"] if row["decision"] != live[0]["decision"] else []
    truth, answer = winner(labels), row["decision"]
    if truth == "missing":
        return [*cells, "declared_missing"]
    if truth is None:
        return cells
    cells.append("labelled")
    if isinstance(answer, tuple) and isinstance(truth, tuple):
        cells.append("right" if answer == truth else "wrong")
        classes = declared.get("classes", ())
        if declared["task"] == "classification" and len(classes) == 2:
            positive = ("class", declared.get("positive") or classes[1])
            if answer == positive != truth:
                cells.append("false_alarms")
            if answer != positive == truth:
                cells.append("misses")
    return cells
