"""Decisions: what was decided about a rollout, why, and by whom; one chain of records each.

A record is never changed. Its `hash` is over everything else in it, and the next record names it
as `previous`; so whoever has the last hash can show that nothing before it was touched. State is a
fold of the records (`rollout.states`).
"""

import hashlib
import math
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from evidence.decision import Verdict
from rollout.courses import Place
from rollout.stages import Signal
from streams.errors import InputError

GENESIS = "sha256:" + "0" * 64
"""What the first record names as previous."""

LONGEST = 2_000
"""Characters of a reason."""


class Judged(Struct, frozen=True, kw_only=True):
    """One metric of one challenger at one look; `slice` names a protected slice, else all traffic.

    `estimate`, `lower`, `upper` and `limit` are effects of the challenger against the champion, in
    the metric's own units; None where there is none, or no end on that side. `snapshot` is the
    digest of cells and parameters, from which anybody can recompute it.
    """

    arm: str
    metric: str
    verdict: Verdict
    slice: str = ""
    n: int = 0
    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None
    limit: float | None = None
    log_safe: float | None = None
    log_harm: float | None = None
    reasons: tuple[str, ...] = ()
    snapshot: str = ""

    def __post_init__(self) -> None:
        for name in ("estimate", "lower", "upper", "limit", "log_safe", "log_harm"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise InputError(
                    f"{name} of {self.metric} is {value}", field=name, rule="finite", fix="None"
                )


class Person(Struct, frozen=True, kw_only=True, tag="person", tag_field="kind"):
    """Somebody decided: the name, by which way (cli, web), and the groups that count.

    Args:
        overrides: metrics that were not proven safe, or were proven worse, and were to be passed.
        snapshot: digest of the look that stood there then; empty before the first.
    """

    name: str
    reason: str
    via: str = ""
    groups: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    snapshot: str = ""

    def __post_init__(self) -> None:
        for field in ("name", "reason"):
            text = getattr(self, field)
            odd = any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text)
            if odd or len(text) > LONGEST:
                raise InputError(
                    f"{field} is no text of at most {LONGEST:,} characters", field=field
                )

    @property
    def names(self) -> frozenset[str]:
        """Everything that an approval's `from` may call this person."""
        return frozenset({self.name, *self.groups})


class Evidence(Struct, frozen=True, kw_only=True, tag="evidence", tag_field="kind"):
    """The evidence decided: the table of verdicts at that look, and in words what told."""

    verdicts: tuple[Judged, ...]
    reasons: tuple[str, ...]


class Time(Struct, frozen=True, kw_only=True, tag="time", tag_field="kind"):
    """A time was over, ms UTC of the domain clock; in words, which."""

    due_ms: int
    reasons: tuple[str, ...]


Cause = Person | Evidence | Time


class Published(Struct, frozen=True, kw_only=True):
    """The route table of a decision: its number, its epoch, and each challenger's share.

    `epoch` is 0 where events are evidence of nothing.
    """

    route_version: int
    epoch: int
    shares: tuple[float, ...]


class Decision(Struct, frozen=True, kw_only=True):
    """One record.

    Args:
        revision: digest of the spec that held.
        seq: from 1, without a hole.
        at_ms: domain time.
        before: where it stood ("from"); `after` is where it stands now ("to").
        arm: the challenger that goes, of a drop.
        published: None where traffic stays as it is.
    """

    rollout: str
    revision: str
    seq: int
    at_ms: int
    before: Place = msgspec.field(name="from")
    after: Place = msgspec.field(name="to")
    signal: Signal
    cause: Cause
    arm: str | None = None
    published: Published | None = None
    previous: str
    hash: str = ""


_DECODER = msgspec.json.Decoder(Decision, strict=True)


def canonical(decision: Decision) -> bytes:
    """The one spelling of a record: JSON, keys sorted, no white space."""
    return msgspec.json.encode(decision, order="sorted")


def digest(decision: Decision) -> str:
    """sha256 of the canonical spelling without the member `hash`."""
    plain: dict[str, Any] = msgspec.to_builtins(decision)
    del plain["hash"]
    return "sha256:" + hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()


def sealed(decision: Decision) -> Decision:
    """The record with its hash: as it will be read again, so that 1 and 1.0 are one number."""
    read = _DECODER.decode(canonical(decision))
    return msgspec.structs.replace(read, hash=digest(read))


def decoded(body: bytes) -> Decision:
    """The record in `body`. Raises InputError unless it is one, in its canonical spelling."""
    try:
        decision = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, InputError) as error:
        raise InputError(f"this is no decision: {error}", rule="decision") from error
    if canonical(decision) != body:
        raise InputError("this is not the canonical spelling of a decision", rule="canonical")
    return decision


def verified(bodies: Iterable[bytes]) -> list[Decision]:
    """The records of one rollout, all of them from the first on, each as it was written.

    Raises InputError that names the first record which was changed, left out or put in.
    """
    found: list[Decision] = []
    for seq, body in enumerate(bodies, start=1):
        try:
            decision = decoded(body)
            _linked(found[-1] if found else None, decision, seq)
        except InputError as error:
            raise InputError(
                f"decision {seq}: {error.message}",
                field=f"decisions[{seq}]",
                rule=error.rule,
                why="the chain is broken here: what comes after proves nothing",
                fix="compare with another copy: the topic decisions, or an export",
                line=seq,
            ) from error
        found.append(decision)
    return found


def _linked(last: Decision | None, decision: Decision, seq: int) -> None:
    """Raises InputError unless `decision` is whole and follows `last` as record `seq`."""
    if decision.hash != digest(decision):
        raise InputError("its hash is another: it was changed", rule="hash")
    if decision.seq != seq:
        raise InputError(f"it is number {decision.seq}: one is missing or too many", rule="seq")
    if decision.previous != (last.hash if last else GENESIS):
        raise InputError("the record before it is another than it names", rule="previous")
    if last is not None and (decision.rollout, decision.before) != (last.rollout, last.after):
        raise InputError("it begins elsewhere than the one before it ended", rule="from")
