"""What a rollout waits for and why, in the words held, crossed and not yet known."""

import math
from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from evidence.decision import Verdict
from evidence.intervals import wilson
from penstock import review_counts
from penstock.review_counts import Reviewed, reviewed
from penstock.rollout_details import Waiting, scene, waiting, word
from penstock.rollouts import Store
from rollout import kept, reviewing, store
from rollout.courses import LIVE, Kind
from rollout.decisions import Judged
from rollout.enrolment import follows_up
from rollout.estimates import Estimate, estimate
from rollout.kept import Kept
from rollout.scenes import Scene
from rollout.store import Standing
from streams.db.engine import reading
from streams.models import DAY_MS

ALPHA = 0.05
_ALARM = math.log(1 / ALPHA)


class Known(Struct, frozen=True, kw_only=True):
    """A metric that decides here: its state, why, and when it may be known at this pace."""

    metric: str
    arm: str
    slice: str
    state: str
    because: str
    required: bool
    guardrail: bool
    estimate: Estimate | None


class Budget(Struct, frozen=True, kw_only=True):
    """Extra bad outcomes of the challengers so far: at least, about, at most; of `allowed`."""

    metric: str
    allowed: float
    least: float
    about: float
    most: float


class SelfCheck(Struct, frozen=True, kw_only=True):
    """The champion against itself: alarms of runs, over the metrics of every rollout's newest look.

    At most 5 % of the runs are expected to be alarms. `lower` and `upper` are of their share
    (95 %, Wilson, if runs were independent); None for fewer than two runs.
    """

    alarms: int
    runs: int
    lower: float | None
    upper: float | None


class Explained(Struct, frozen=True, kw_only=True):
    """Why a rollout stands where it does. Times are domain time, ms."""

    rollout: str
    stage: Kind
    step: str
    snapshot: str
    looked_ms: int | None
    now_ms: int
    metrics: list[Known]
    reviews: list[Reviewed]
    waits: list[Waiting]
    doubts: list[str]
    harm_budget: Budget | None
    self_check: SelfCheck | None
    last: str


def explained(here: Store, name: str) -> Explained:
    """What there is to say now. Raises InputError for a rollout that is not there."""
    with reading(here.engine) as connection:
        standing, look = store.standing(connection, name), kept.newest(connection, name)
        found = [kept.newest(connection, each.rollout) for each in store.summaries(connection)]
        asked = reviewing.counts(connection, standing)
        now_ms = here.clock.domain_ms()
        is_followed = follows_up(connection, standing, now_ms=now_ms)
    seen = scene(standing, look, now_ms=now_ms)
    seen = replace(seen, facts=replace(seen.facts, following_up=is_followed))
    last = standing.decisions[-1] if standing.decisions else None
    step = standing.course[standing.state.place.step].name if last and seen.kind in LIVE else ""
    return Explained(
        rollout=name, stage=seen.kind, step=step, snapshot=look.digest if look else "",
        looked_ms=look.at_ms if look else None, now_ms=now_ms,
        metrics=list(_metrics(seen, look)) if seen.kind in LIVE else [],
        reviews=reviewed(seen.left, asked),
        waits=waiting(seen),
        doubts=list(look.record.broken) if look else [],
        harm_budget=_budget(standing, look),
        self_check=_self_check([each for each in found if each is not None]),
        last=f"{last.signal} ({last.after.kind})" if last else "created",
    )  # fmt: skip


def words(found: Explained) -> Iterator[str]:
    """The same in lines for people."""
    yield f"{found.rollout} is {found.stage}{f' at {found.step}' if found.step else ''}"
    if found.snapshot:
        yield f"  by look {found.snapshot.removeprefix('sha256:')[:8]}"
    for each in found.metrics:
        where = f" in {each.slice}" if each.slice else ""
        role = " and ".join(
            text
            for text, holds in (("required", each.required), ("guardrail", each.guardrail))
            if holds
        )
        yield f"  {each.arm}: {each.metric}{where}: {each.state}: {each.because}  [{role}]"
        if each.estimate is not None:
            days, ninety = each.estimate.days, each.estimate.ninety_days
            yield (
                f"      known in about {_span(days)}, nine times in ten within {_span(ninety)},"
                " at this effect and pace"
            )
    for line in review_counts.words(found.reviews):
        yield f"  {line}"
    for doubt in found.doubts:
        yield f"  in doubt: {doubt}"
    for wait in found.waits:
        left = f" ({_span((wait.until_ms - found.now_ms) / DAY_MS)} more)" if wait.until_ms else ""
        yield f"  waits: {wait.reason}{left}"
    if not found.waits:
        yield f"  waits for nothing; the last decision: {found.last}"
    yield from _asides(found)


def _asides(found: Explained) -> Iterator[str]:
    if (spent := found.harm_budget) is not None:
        yield (
            f"  harm budget of {spent.metric}: about {spent.about:,.0f} extra bad outcomes"
            f" ({spent.least:,.0f} to {spent.most:,.0f}), of {spent.allowed:g} allowed"
        )
    if (check := found.self_check) is not None:
        shares = ""
        if check.lower is not None and check.upper is not None:
            shares = f" (95 %: {100 * check.lower:.0f} to {100 * check.upper:.0f} %)"
        yield (
            f"  self-check: {_count(check.alarms, 'alarm')} of {_count(check.runs, 'run')},"
            f" at most 5 % expected{shares}"
        )


def _metrics(seen: Scene, look: Kept | None) -> Iterator[Known]:
    """Those that are required here, and guardrails; one that was never judged is not known."""
    required, guardrails = seen.required(), seen.spec.guardrails
    for arm in seen.left:
        for name in dict.fromkeys((*required, *guardrails)):
            judged = seen.verdicts(arm, [name]) or [
                Judged(arm=arm, metric=name, verdict=Verdict.NO_DATA)
            ]
            for each in judged:
                is_open = look is not None and each.verdict is Verdict.UNDECIDED
                yield Known(
                    metric=name, arm=arm, slice=each.slice, state=word(each.verdict),
                    because=_because(each), required=name in required and not each.slice,
                    guardrail=name in guardrails,
                    estimate=estimate(look.record, each, now_ms=seen.now_ms)
                    if look is not None and is_open and not each.slice
                    else None,
                )  # fmt: skip


def _because(each: Judged) -> str:
    told = ", ".join(each.reasons) or each.verdict.value
    return f"{told}, of {each.n:,}" if each.n else told


def _budget(standing: Standing, look: Kept | None) -> Budget | None:
    budget = standing.declared.spec.harm_budget
    if budget is None or look is None:
        return None
    spent = [
        one
        for one in look.record.extra
        if one.metric == budget.metric and one.arm not in standing.state.dropped
    ]
    if not spent:
        return None
    worst = max(spent, key=lambda one: one.least)
    return Budget(
        metric=budget.metric, allowed=budget.extra, least=worst.least, about=worst.estimate,
        most=worst.most,
    )  # fmt: skip


def _self_check(looks: Sequence[Kept]) -> SelfCheck | None:
    found = [log_e for look in looks for log_e in look.record.self_checks.values()]
    if not found:
        return None
    alarms, runs = sum(log_e >= _ALARM for log_e in found), len(found)
    share = wilson(alarms, runs, alpha=ALPHA).interval if runs > 1 else None
    return SelfCheck(
        alarms=alarms, runs=runs, lower=share.lower if share else None,
        upper=share.upper if share else None,
    )  # fmt: skip


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def _span(days: float) -> str:
    if days >= 2:
        return f"{days:.1f} days"
    return f"{24 * days:.1f} h" if days * 24 >= 1 else f"{max(1, math.ceil(1440 * days))} min"
