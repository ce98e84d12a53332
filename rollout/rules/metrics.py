"""What a metric of a spec can contradict: its source, itself, and the split of the units."""

from collections.abc import Iterator

from evidence.forms import Form
from rollout.metrics import LOSSES, QUANTILES, form_of, loss_of, stat_of
from rollout.rules.faults import Fault, Rule, at, ms, numbered, twice, warning
from rollout.spec import Metric, Spec
from streams.yamls import Path, nearest

_ONLY_FROM = {
    "matures": {"label", "audit"},
    "missing": {"label"},
    "observed": {"label"},
    "paired": {"label", "audit"},
    "cap": {"prediction", "label", "audit", "feedback"},
    "crash": {"prediction", "label", "feedback"},
    "exposure": {"prediction", "label", "feedback"},
    "margin": {"prediction", "label", "audit", "feedback"},
    "stat": {"prediction", "pair", "label", "audit", "feedback"},
    "of": {"prediction", "pair", "label", "audit", "feedback"},
}
"""Where a field means something; elsewhere it would be read and never used."""


def sources(spec: Spec) -> Iterator[Fault]:
    """A field that means nothing for its source is an error, not silently nothing."""
    for path, metric in numbered(spec):
        for field, known in _ONLY_FROM.items():
            if getattr(metric, field) is not None and metric.source not in known:
                yield Fault(
                    (*path, field),
                    f"means nothing for a metric from {metric.source}",
                    f"leave it out; it is for {' and '.join(sorted(known))}",
                )


def names(spec: Spec) -> Iterator[Fault]:
    for name in twice(metric.name for metric in spec.metrics):
        places = [k for k, metric in enumerate(spec.metrics) if metric.name == name]
        yield Fault(at("metrics", places[-1], "name"), f"two metrics are called {name!r}")


def losses(spec: Spec) -> Iterator[Fault]:
    """What is counted and how it is summed up must be one pair of the table."""
    for path, metric in numbered(spec):
        known = LOSSES[metric.source]
        loss, stat = loss_of(metric), stat_of(metric)
        if not known:
            continue
        if loss is None or loss not in known:
            word = metric.of or metric.name
            yield Fault(
                (*path, "of"),
                f"{word!r} is nothing that a metric from {metric.source} counts",
                nearest(word, known),
            )
        elif stat is None:
            yield Fault(
                (*path, "stat"),
                f"{loss} can be summed up in several ways",
                nearest("", known[loss]),
            )
        elif stat not in known[loss]:
            yield Fault((*path, "stat"), f"{loss} has no {stat}", nearest(stat, known[loss]))
        if metric.better == "higher" and loss not in (None, "value"):
            yield Fault((*path, "better"), f"more of {loss} is never better", "better: lower")


def limits(spec: Spec) -> Iterator[Fault]:
    """Exactly one limit: a margin against the champion, or a ceiling for the challenger alone."""
    for path, metric in numbered(spec):
        if metric.margin is None and metric.ceiling is None:
            add = (
                "ceiling: ..." if metric.source in ("pair", "drift") else "margin: {absolute: ...}"
            )
            yield Fault(
                path, f"{metric.name!r} has neither margin nor ceiling: nothing can be proven",
                f"add {add}; it has no default, because only its owner knows what harm is",
            )  # fmt: skip
        elif metric.margin is not None and metric.ceiling is not None:
            yield Fault(
                (*path, "ceiling"), "a metric has a margin or a ceiling, not both",
                "make two metrics of it: they are two questions",
            )  # fmt: skip
        elif metric.margin is not None:
            yield from _margin(path, metric)
        elif metric.source != "drift":
            yield from _ceiling(path, metric)


def _margin(path: Path, metric: Metric) -> Iterator[Fault]:
    margin, place = metric.margin, (*path, "margin")
    assert margin is not None
    if (margin.absolute is None) == (margin.relative is None):
        yield Fault(place, "needs exactly one of absolute and relative")
        return
    if 0 in (margin.absolute, margin.relative):
        yield warning(
            place, "a margin of 0 asks for proof that the challenger is better",
            "an equal version is then hardly ever called safe; give what may be lost",
        )  # fmt: skip
    if margin.absolute is not None and stat_of(metric) == "rate" and margin.absolute >= 1:
        yield Fault(
            (*place, "absolute"), f"a rate cannot differ by {margin.absolute:g}: it lies in 0 to 1",
            f"one point is 0.01; {margin.absolute:g} points are {margin.absolute / 100:g}",
        )  # fmt: skip
    if margin.relative is not None and metric.better == "higher" and margin.relative >= 1:
        yield Fault(
            (*place, "relative"), f"a loss of {margin.relative:.0%} or more can never be exceeded",
            "a relative margin of a metric that should be high is below 1: 0.02 is 2 %",
        )  # fmt: skip


def _ceiling(path: Path, metric: Metric) -> Iterator[Fault]:
    place, stat = (*path, "ceiling"), stat_of(metric)
    assert metric.ceiling is not None
    if metric.paired:
        yield Fault(
            place, "a ceiling looks at the challenger alone, a pair at both", "use a margin"
        )
    if metric.better == "higher":
        yield Fault(place, "what should be high has no ceiling", "use a margin")
    if stat == "rate" and not 0 < metric.ceiling < 1:
        yield Fault(
            place, f"a rate's ceiling lies strictly between 0 and 1, not at {metric.ceiling:g}",
            "5 % is 0.05",
        )  # fmt: skip
    elif stat == "mean":
        yield Fault(
            place, "a mean has no ceiling that could be tested exactly",
            "use a margin, or a quantile",
        )  # fmt: skip
    elif stat in QUANTILES and metric.ceiling <= 0:
        yield Fault(place, "a latency's ceiling is above 0 ms")


def caps(spec: Spec) -> Iterator[Fault]:
    for path, metric in numbered(spec):
        if metric.cap is not None and stat_of(metric) not in (None, "mean"):
            yield Fault(
                (*path, "cap"), f"a {stat_of(metric)} needs no cap", "leave it out; it is for means"
            )


def crashes(spec: Spec) -> Iterator[Fault]:
    """The fast path for harm counts a unit's first bad event, so it is for rare, bad events."""
    for path, metric in numbered(spec):
        if metric.crash is None:
            continue
        place, margin = (*path, "crash"), metric.margin
        if stat_of(metric) not in (None, "rate") or metric.better == "higher":
            yield Fault(place, "counts bad events: it is for rates where lower is better")
        if metric.ceiling is not None or metric.paired:
            yield Fault(
                place, "compares arms, so it needs a margin and unpaired answers", "leave it out"
            )
        elif margin and margin.relative is not None and metric.crash.ratio <= 1 + margin.relative:
            yield Fault(
                (*place, "ratio"),
                f"lies within the margin: {1 + margin.relative:g} times the champion's are allowed",
                f"above {1 + margin.relative:g}",
            )
        if metric.name not in spec.guardrails:
            yield Fault(
                place, "only a guardrail's harm rolls back", f"add {metric.name} to guardrails"
            )


def labels(spec: Spec) -> Iterator[Fault]:
    """Labels come late, not always, and sometimes only where the champion did not act."""
    for path, metric in numbered(spec):
        if metric.source in ("label", "audit") and metric.matures is None:
            yield Fault(
                (*path, "matures"), "at which age are labels taken as known?",
                "for example 14d; a label that comes later never changes a verdict silently",
            )  # fmt: skip
        if metric.source != "label":
            continue
        if metric.observed is None:
            yield Fault(
                (*path, "observed"), "does the truth become known whatever the decision was?",
                "observed: always, or if_action where acting hides it (a blocked payment)",
            )  # fmt: skip
        if metric.missing is None:
            yield Fault(
                (*path, "missing"), "what does a label that never comes stand for?",
                "missing: as-champion, right or wrong",
            )  # fmt: skip
        if metric.observed == "if_action" and metric.paired:
            yield Fault(
                (*path, "paired"),
                "observed: if_action has no label exactly where the versions disagree",
                "paired: false with missing: wrong, or audits: people see what the service hides",
            )
        elif metric.observed == "if_action" and metric.missing in ("as-champion", "right"):
            yield Fault(
                (*path, "missing"),
                f"under observed: if_action, {metric.missing} hides the errors of who acts more",
                "missing: wrong defines the outcome for every unit",
            )


def pairs(spec: Spec) -> Iterator[Fault]:
    """Paired evidence: whether it is, what it can compare, and what must be audited for it."""
    for path, metric in numbered(spec):
        if metric.source == "audit" and metric.paired is None:
            yield Fault(
                (*path, "paired"), "are both versions' answers to one request compared?",
                "paired: true needs a few hundred labels, two independent arms tens of thousands",
            )  # fmt: skip
        if metric.paired and stat_of(metric) == "mean":
            yield Fault(
                (*path, "paired"), "pairs are compared by who was wrong, not by a mean",
                "of: wrong, misses or false_alarms",
            )  # fmt: skip
        if metric.source == "audit" and spec.audits is None:
            yield Fault(path, f"{metric.name!r} is from audits, and there are none", "add audits")
        elif metric.source == "audit" and spec.audits is not None and not spec.audits.rate:
            yield Fault(
                at("audits", "rate"),
                "a relative margin needs agreements audited too"
                if form_of(metric) is Form.PAIRED_RATIO
                else "nothing is audited at a rate of 0",
                "0.01 audits one answer in a hundred",
            )


def units(spec: Spec) -> Iterator[Fault]:
    """One unit, one value: events of sticky units are never counted one by one."""
    unit, by = spec.assignment.unit, spec.assignment.by
    if by == "external" and unit != "request":
        yield Fault(
            at("assignment", "unit"),
            f"a gateway splits requests: nothing keeps one {unit} with one version",
            "unit: request, or by: penstock",
        )
    for path, metric in numbered(spec):
        if metric.paired or not spec.assignment.sticky:
            continue
        if loss_of(metric) == "missing":
            yield Fault(
                path,
                f"clients count what was never answered by request and arm, not by {unit}",
                "of: errors; report a time-out as an answer with an error",
            )
        elif metric.source == "audit":
            yield Fault(
                (*path, "paired"),
                f"audits of single answers are counted by request, not by {unit}",
                "paired: true compares both versions' answers, one pair of each",
            )
        elif metric.source in ("prediction", "feedback") and metric.exposure is None:
            yield Fault(
                (*path, "exposure"),
                f"the events of one {unit} are not independent: counted one by one, identical"
                " versions look different in one of five rollouts",
                f"exposure: 1d gives one value per {unit}: that of its first day",
            )


def durations(spec: Spec) -> Iterator[Fault]:
    for path, metric in numbered(spec):
        for field in ("exposure", "matures"):
            text = getattr(metric, field)
            if text is not None and not ms(text):
                yield Fault((*path, field), f"{text} is no time at all", "for example 10m")


RULES: tuple[Rule, ...] = (
    names, sources, losses, limits, caps, crashes, labels, pairs, units, durations,
)  # fmt: skip
