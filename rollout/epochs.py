"""What an epoch freezes: from a spec, the model's declaration and what earlier traffic showed.

A request is drawn anew each time: no request was in any lane before, and the probability of an arm
is that of the epoch's own shares. A sticky unit carries its past along: only those that no
challenger ever had are compared, with the probability among them.
"""

import math
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET, Struct

from evidence.forms import RARE, Form
from evidence.paired import Pair
from evidence.ramps import Enrolment, enrolment
from rollout.audits import weighted
from rollout.cells import SETTLES_MS, Arm, Ceiling, Opened, Part, Salts
from rollout.counted import Buckets, Counted, Side
from rollout.lanes import fresh, held, stretches
from rollout.metrics import QUANTILES, form_of, loss_of, stat_of
from rollout.needs import DISAGREE, RATE, audit_probability
from rollout.owning import LEAST, owned, owned_pairs
from rollout.spec import Metric, Scope, Spec
from rollout.tested import at_stake, guardrail
from streams.errors import InputError
from streams.models import Declaration, duration_ms

_PAIRED = {
    Form.EVENT_SHARE: Form.PAIRED_RATIO,
    Form.RATIO: Form.PAIRED_RATIO,
    Form.DIFFERENCE: Form.PAIRED_DIFFERENCE,
    Form.QUANTILE: Form.PAIRED_DIFFERENCE,
}
"""In shadow both versions answer, so what would compare arms compares answers."""
_MISSING_PAIR = {"as-champion": Pair.EQUAL, "right": Pair.EQUAL, "wrong": Pair.BOTH_WRONG}


class Figure(Struct, frozen=True, kw_only=True):
    """What earlier traffic showed of one metric; only speed hangs on it, never validity.

    Args:
        mean, sd: of the champion's values, in units of the metric.
        quantile: the champion's, ms, for a metric that is one.
        discordant: share of the pairs in which exactly one version errs.
    """

    mean: float | None = None
    sd: float | None = None
    quantile: float | None = None
    discordant: float | None = None


class Start(Struct, frozen=True, kw_only=True):
    """Where and when an epoch begins; see `rollout.cells.Opened`.

    `given`: for each challenger the largest share it had in earlier epochs; none: there was none.
    """

    rollout: str
    epoch: int
    opens_ms: int
    salts: Salts
    shares: tuple[float, ...]
    scope: Scope | None = None
    confirm_ms: int = 0
    expects_pairs: bool = False
    given: tuple[float, ...] = ()


def opened(
    spec: Spec, declaration: Declaration, start: Start, figures: Mapping[str, Figure]
) -> Opened:
    """The epoch that begins at `start`, with everything that it freezes.

    Raises InputError for audits of single answers or missing answers of sticky units, and for a
    quantile between versions without the champion's own in `figures`.
    """
    taken = held(start.given) if spec.assignment.sticky else ()
    newly = fresh(taken, start.shares) if spec.assignment.sticky else ()
    challengers = _challengers(spec, start, newly)
    watched = {part.name: part for part in declaration.slices}
    slots = {part.name: slot for slot, part in enumerate(declaration.slices)}
    slices = tuple(Part(n, slots[n], watched[n].protected) for n in spec.slices if n in watched)
    names = [m.name for m in spec.metrics if form_of(m) not in (Form.ASYMPTOTIC, Form.HEURISTIC)]
    return Opened(
        rollout=start.rollout,
        model=spec.model,
        route=spec.route,
        epoch=start.epoch,
        opens_ms=start.opens_ms,
        champion=spec.champion.version,
        challengers=challengers,
        metrics=tuple(
            counted
            for name in names
            for counted in [
                _counted(spec, spec.by_name[name], declaration, start, figures.get(name), slices)
            ]
            if counted is not None
        ),
        salts=start.salts,
        positive=declaration.positive_class if declaration.binary else None,
        slices=slices,
        ceilings=tuple(
            Ceiling(metric.name, metric.ceiling)
            for metric in spec.metrics
            if metric.source == "drift" and metric.ceiling is not None
        ),
        scope=_scope(declaration, start.scope),
        estimand="supervised" if start.confirm_ms else "assigned",
        confirm_ms=start.confirm_ms,
        checks=spec.assignment.by == "penstock",
        unit=spec.assignment.unit,
        taken=taken,
        fresh=newly,
        expects_pairs=start.expects_pairs,
        alpha=spec.judge.alpha,
        planned_units=spec.judge.planned_units,
        guardrails=len(spec.guardrails),
        paths=2 if any(spec.by_name[name].crash for name in spec.guardrails) else 1,
        self_check=spec.judge.self_check,
    )


def _challengers(spec: Spec, start: Start, newly: Sequence[float]) -> tuple[Arm, ...]:
    """`newly` is what each arm newly has of the sticky units; none where requests are units."""
    lanes = stretches(start.shares)

    def pi(k: int) -> float | None:
        if not newly:
            return enrolment([], start.shares, k).pi
        return Enrolment(challenger=newly[1 + k], champion=newly[0]).pi

    return tuple(
        Arm(
            arm=ref.version,
            version=ref.version,
            share=share,
            pi=pi(k),
            lo=lanes[k].lo,
            hi=lanes[k].hi,
        )
        for k, (ref, share) in enumerate(zip(spec.challengers, start.shares, strict=True))
    )


def _scope(declaration: Declaration, scope: Scope | None) -> tuple[int, ...] | None:
    """The slices that together are the scope: one for each of its values, of that tag alone."""
    if scope is None:
        return ()
    slots = {
        term.equals: slot
        for slot, part in enumerate(declaration.slices)
        if len(part.where) == 1 and (term := part.where[0]).tag == scope.tag
    }
    found = [slots.get(value) for value in scope.values]
    return None if None in found else tuple(slot for slot in found if slot is not None)


def _counted(
    spec: Spec, metric: Metric, declaration: Declaration, start: Start, figure: Figure | None,
    slices: Sequence[Part],
) -> Counted | None:  # fmt: skip
    """How a metric is counted here; None where this epoch holds no evidence of it."""
    seen = figure or Figure()
    in_shadow = not any(start.shares)
    rare = seen.mean is None or 0 < seen.mean <= RARE
    form = form_of(metric, rare=rare)
    if metric.source == "audit" and not metric.paired and spec.assignment.sticky:
        raise InputError(
            f"{metric.name}: audits of single answers are counted by request, not by"
            f" {spec.assignment.unit}",
            field=f"metrics.{metric.name}.paired",
            fix="paired: true",
        )
    loss, paired = loss_of(metric), bool(metric.paired) or metric.source == "pair"
    if in_shadow and not paired:
        if metric.source != "prediction" or loss == "missing" or stat_of(metric) == "mean":
            return None
        form, paired = _PAIRED.get(form, form), True
    limit = _limit(metric)
    found = Counted(
        name=metric.name,
        source=metric.source,
        loss=loss,
        form=form,
        side=Side.PAIRS if paired else Side.ARMS,
        limit=limit,
        higher_is_better=metric.better == "higher",
        horizon_ms=_horizon_ms(metric, declaration, paired=paired, exposure=metric.exposure),
        missing=_missing(metric, paired=paired),
        label_source=_label_source(metric),
        thresholds=_thresholds(metric, seen),
        q=_strata(spec, metric, slices),
        has_unseen=True if paired and metric.source == "audit" else UNSET,
        is_guardrail=metric.name in spec.guardrails,
    )
    if not paired:
        found = _with_levels(found, metric, declaration)
        if spec.assignment.sticky:
            found = owned(found, metric, spec)
    elif spec.assignment.sticky:
        settles_ms = _horizon_ms(metric, declaration, paired=True)
        found = owned_pairs(found, metric, settles_ms=settles_ms)
    found = _with_missing(_with_spread(found, metric, seen))
    if found.audited:
        found = weighted(found)
    guardrail(
        found, pi=0.5, planned_units=spec.judge.planned_units
    )  # refuses what cannot be tested
    return found


def _limit(metric: Metric) -> float:
    stat, margin = stat_of(metric), metric.margin
    is_quantile = stat is not None and stat in QUANTILES
    if metric.ceiling is not None:
        return 1 - QUANTILES[stat] if stat is not None and is_quantile else metric.ceiling
    if is_quantile or margin is None:
        return 0.0
    return (margin.relative if margin.absolute is None else margin.absolute) or 0.0


def _horizon_ms(
    metric: Metric, declaration: Declaration, *, paired: bool, exposure: str | None = None
) -> int:
    age = sum(duration_ms(text) for text in (exposure, metric.matures) if text is not None)
    if metric.source in ("pair", "prediction") and paired:
        age = max(age, duration_ms(declaration.pair_horizon))
    return age or SETTLES_MS


def _missing(metric: Metric, *, paired: bool) -> int:
    """What an outcome that never came stands for; as-champion becomes a level of its own."""
    if paired:
        if metric.source == "audit":
            return Pair.UNRESOLVED
        if metric.source == "label":
            return _MISSING_PAIR[metric.missing or "wrong"]
        return Pair.CHALLENGER_WRONG  # of a pair: the challenger did not answer
    if metric.source in ("feedback", "audit"):  # an audit that is not resolved has its own level
        return 0
    return {"as-champion": -1, "right": 0, "wrong": 1}[metric.missing or "wrong"]


def _label_source(metric: Metric) -> str | None:
    if metric.source == "feedback":
        return f"feedback:{metric.name}"
    return {"label": "outcome", "audit": "audit"}.get(metric.source)


def _thresholds(metric: Metric, seen: Figure) -> tuple[float, float] | None:
    """Where latency is too long: for the champion, for the challenger. In ms."""
    if stat_of(metric) not in QUANTILES:
        return None
    if metric.ceiling is not None:
        return metric.ceiling, metric.ceiling
    margin = metric.margin
    if seen.quantile is None or margin is None:
        raise InputError(
            f"{metric.name}: the champion's {metric.stat} is not known yet",
            field=f"metrics.{metric.name}",
            why="its threshold is frozen before the first unit",
            fix="measure it in an earlier stretch of traffic",
        )
    worse = seen.quantile * (1 + (margin.relative or 0.0)) + (margin.absolute or 0.0)
    return seen.quantile, worse


def _strata(spec: Spec, metric: Metric, slices: Sequence[Part]) -> tuple[float, ...]:
    if metric.source != "audit" or spec.audits is None:
        return (1.0,)
    rate, boost = spec.audits.rate, spec.audits.boost
    if not metric.paired:
        is_boosted = boost.protected > 1 and any(part.protected for part in slices)
        each = {audit_probability(rate * boost.protected if is_boosted else rate)}
        return tuple(sorted(each | {audit_probability(rate)}, reverse=True))
    wanted = [rate, rate * boost.disagreement]
    if boost.protected > 1 and any(part.protected for part in slices):
        wanted += [each * boost.protected for each in wanted]
    return tuple(audit_probability(each) for each in wanted)


def _with_levels(found: Counted, metric: Metric, declaration: Declaration) -> Counted:
    """With the outcomes that a unit can have: of a mean its frozen levels, of costs these."""
    if found.loss == "cost":
        assert declaration.costs is not None
        cap = metric.cap or math.inf
        costs = (declaration.costs.false_alarm, declaration.costs.miss)
        return msgspec.structs.replace(found, levels=(0.0, *(min(cost, cap) for cost in costs)))
    if stat_of(metric) != "mean":
        return found
    assert metric.cap is not None
    buckets = Buckets(cap=metric.cap, least=metric.cap * LEAST)
    levels = tuple(buckets.levels().values.tolist())
    return msgspec.structs.replace(found, buckets=buckets, levels=levels)


def _with_spread(found: Counted, metric: Metric, seen: Figure) -> Counted:
    top, stat = max(found.levels) if found.side is Side.ARMS else 1.0, stat_of(metric)
    share, centre = seen.discordant or DISAGREE, min(seen.mean or RATE * top, top)
    if stat is not None and stat in QUANTILES:
        centre = 1 - QUANTILES[stat]
    sd = seen.sd if stat == "mean" else math.sqrt(centre * (1 - centre)) or None
    return msgspec.structs.replace(
        found,
        centre=centre,
        sd=sd or math.sqrt(RATE * (1 - RATE)) * top,
        discordance=math.sqrt(share / min(at_stake(found))),
    )


def _with_missing(found: Counted) -> Counted:
    """With the level that a missing outcome stands for: the worst, or one at the centre."""
    if found.side is Side.PAIRS or found.missing == 0:
        return found
    if found.missing > 0:
        return msgspec.structs.replace(found, missing=found.levels.index(max(found.levels)))
    if found.form is Form.EVENT_SHARE:  # what is missing is no event, in either arm
        return msgspec.structs.replace(found, missing=0)
    levels = (*found.levels, found.centre)
    return msgspec.structs.replace(found, levels=levels, missing=len(found.levels))
