"""A rollout with its newest look: what the command line and the API show of it. Pure."""

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from evidence.decision import Verdict
from evidence.names import Form
from penstock.review_counts import Reviewed, reviewed
from penstock.rollout_views import View, view
from rollout import controller, gates
from rollout.decisions import Judged
from rollout.judge import Record
from rollout.kept import Kept
from rollout.knowledge import facts
from rollout.levels import form_of, levels
from rollout.readers import Heard
from rollout.reviews import State
from rollout.scenes import Facts, Scene
from rollout.spotting import Spotted, spotted
from rollout.store import Standing

WORDS = {Verdict.SAFE: "held", Verdict.HARM: "crossed"}
UNKNOWN = "not yet known"
_VERDICTS = frozenset(each.value for each in Verdict)
_UNITS = {Form.EVENT_SHARE: "ratio", Form.RATIO: "ratio", Form.CEILING: "level"}


class MetricView(Struct, frozen=True, kw_only=True):
    """A metric of one challenger at the newest look, over all traffic or in a protected slice.

    `champion` and `challenger` are each arm's own mean. `change` is the challenger's effect and
    lies within `lower` and `upper` at any look (95 %); it keeps to `limit`. By `unit` they are a
    "difference" in units of the metric, a "ratio" to the champion's, or under a ceiling the
    challenger's own "level".
    """

    metric: str
    arm: str
    slice: str
    champion: float | None
    challenger: float | None
    change: float | None
    lower: float | None
    upper: float | None
    limit: float | None
    unit: str
    n: int
    verdict: Verdict
    state: str
    reasons: tuple[str, ...]


class Waiting(Struct, frozen=True):
    """What the next step waits for; until when at least, domain ms, where a clock tells."""

    reason: str
    until_ms: int | None


class Detail(View, frozen=True, kw_only=True):
    """Where a rollout stands, and what its newest look says.

    `snapshot` names the look: the digest of its cells and parameters, from which anybody can
    compute the verdicts again. `confirmed` of the `services` that read the route decide by its
    newest table already. `slices` stand out among those that decide nothing (e-BH).
    """

    snapshot: str
    looked_ms: int | None
    metrics: list[MetricView]
    slices: list[Spotted]
    reviews: list[Reviewed]
    waits: list[Waiting]
    doubts: list[str]
    services: int | None
    confirmed: int | None


def detail(
    standing: Standing,
    look: Kept | None,
    heard: Heard | None,
    asked: Mapping[tuple[str, State], int],
    *,
    now_ms: int,
) -> Detail:
    """Everything that there is to show. `now_ms` is domain time.

    Args:
        asked: how many reviews of each version are in each state.
    """
    return Detail(
        **msgspec.structs.asdict(view(standing)),
        snapshot=look.digest if look else "",
        looked_ms=look.at_ms if look else None,
        metrics=[metric_view(look.record, each) for each in look.record.judged] if look else [],
        slices=list(spotted(look.record.look)) if look else [],
        reviews=reviewed([ref.version for ref in standing.declared.spec.challengers], asked),
        waits=waiting(scene(standing, look, now_ms=now_ms)),
        doubts=list(look.record.broken) if look else [],
        services=heard.readers if heard else None,
        confirmed=heard.confirmed if heard else None,
    )


def waiting(seen: Scene) -> list[Waiting]:
    """What the next step waits for, with verdicts in the words that people read."""
    return [Waiting(_in_words(wait.reason), wait.until_ms) for wait in gates.waits(seen)]


def _in_words(reason: str) -> str:
    about, _, verdict = reason.rpartition(": ")
    return f"{about} is {word(Verdict(verdict))} ({verdict})" if verdict in _VERDICTS else reason


def scene(standing: Standing, look: Kept | None, *, now_ms: int) -> Scene:
    """What the next signal depends on, as far as the newest look tells."""
    known = Facts()
    if look is not None:
        spec = standing.declared.spec
        known = facts(look.record, standing.state, spec, fresh_ms=look.fresh_ms)
    return controller.scene(standing, known, now_ms=now_ms)


def metric_view(record: Record, judged: Judged) -> MetricView:
    """One row of the table of metrics."""
    champion, challenger = levels(record, judged)
    form = form_of(record, judged.metric)
    return MetricView(
        metric=judged.metric, arm=judged.arm, slice=judged.slice, champion=champion,
        challenger=challenger, change=judged.estimate, lower=judged.lower, upper=judged.upper,
        limit=judged.limit,
        unit=_UNITS.get(form, "difference") if form else "difference",
        n=judged.n, verdict=judged.verdict, state=word(judged.verdict), reasons=judged.reasons,
    )  # fmt: skip


def word(verdict: Verdict) -> str:
    """Held, crossed or not yet known: what people read."""
    return WORDS.get(verdict, UNKNOWN)


def etag(standing: Standing, look: Kept | None) -> str:
    """Another one after a decision, a revision that waits, or a look."""
    return f'"{mark(standing, look)}.{look.digest[-12:] if look else 0}"'


def mark(standing: Standing, look: Kept | None) -> str:
    """The part of the tag that a decision is held against: what was decided, and each verdict.

    A look at more of the same traffic that comes to the same verdicts moves nothing, and the first
    one says nothing new of what has no data.
    """
    judged = look.record.judged if look else ()
    said = [
        (each.arm, each.metric, each.slice, each.verdict)
        for each in judged
        if each.verdict is not Verdict.NO_DATA
    ]
    verdicts = hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:12]
    return f"{standing.state.seq}.{standing.revisions[-1].no}.{verdicts}"
