"""What the stages of a spec can contradict: their order, weights, floors and times."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from evidence.ramps import enrolment
from rollout.rules.faults import Fault, Rule, at, ms, warning
from rollout.rules.places import placed, weights
from rollout.spec import Spec
from streams.yamls import nearest

ORDER = ("shadow", "supervised", "canary", "approval", "ab", "full")
_FLOORS = {"shadow": {"pairs", "audited", "age"}}
_ASSIGNED_FLOORS = {"units", "audited", "age"}


def order(spec: Spec) -> Iterator[Fault]:
    for k, stage in enumerate(spec.stages):
        if len(stage.given()) != 1:
            yield Fault(
                at("stages", k), f"has {len(stage.given())} stages, not one", nearest("", ORDER)
            )
    for (_, before, _), (path, kind, _) in pairwise(placed(spec)):
        if ORDER.index(kind) <= ORDER.index(before):
            reason = "stands twice" if kind == before else f"cannot come after {before}"
            yield Fault(path, f"{kind} {reason}", f"the order is {', '.join(ORDER)}")
    kinds = [kind for _, kind, _ in placed(spec)]
    last = at("stages", len(spec.stages) - 1)
    if weights(spec) and "full" not in kinds:
        yield warning(
            last, "without full nobody is promoted: at its end the champion has everything again",
            "add full: {probation: 21d}",
        )  # fmt: skip
    elif "full" in kinds and not weights(spec):
        yield warning(
            last, "every unit gets the challenger at once, and nothing compares it with a champion",
            "add canary: it costs a few units when the challenger is bad",
        )  # fmt: skip


def growth(spec: Spec) -> Iterator[Fault]:
    """Only growth brings units that no challenger has touched, so only growth is evidence."""
    k, steps = len(spec.challengers), weights(spec)
    before: list[Sequence[float]] = []
    for path, weight in steps:
        now = [weight / 100] * k
        if k * weight >= 100:
            yield Fault(
                path, f"{k} x {weight:g} % leaves the champion no units to be compared with",
                f"below {100 / k:g}; full gives the winner everything",
            )  # fmt: skip
            return
        if enrolment(before, now, 0).pi is None:
            widest = max(share[0] for share in before) * 100
            yield Fault(
                path, f"{weight:g} % is no growth over {widest:g} %: no new unit, so no evidence",
                f"above {widest:g}; weights only grow, also from scope to canary to ab",
            )  # fmt: skip
        before.append(now)


def floors(spec: Spec) -> Iterator[Fault]:
    """A floor that is never counted would hold a stage until its deadline."""
    for path, kind, stage in placed(spec):
        least = getattr(stage, "least", None)
        if least is None:
            continue
        known = _FLOORS.get(kind, _ASSIGNED_FLOORS)
        for field in ("pairs", "audited", "units"):
            if getattr(least, field) is None:
                continue
            place = (*path, "min", field)
            if field not in known:
                yield Fault(place, f"{field} are not counted in {kind}", nearest("", known))
            elif field == "audited" and (spec.audits is None or not spec.audits.rate):
                yield Fault(place, "nothing is audited", "add audits: {rate: 0.01}")
        if least.age is not None and ms(least.age) >= ms(stage.deadline):
            yield Fault(
                (*path, "min", "age"), f"{least.age} is not before the deadline of {stage.deadline}"
            )


def times(spec: Spec) -> Iterator[Fault]:
    for path, kind, stage in placed(spec):
        for field, name in _TIMES.items():
            text = getattr(stage, field, None)
            if text is not None and not ms(text):
                yield Fault((*path, name), f"{text} is no time at all", "for example 6h")
        if kind == "canary" and len(stage.weights) * ms(stage.dwell) >= ms(stage.deadline):
            yield Fault(
                (*path, "dwell"),
                f"{len(stage.weights)} steps of {stage.dwell} do not fit into {stage.deadline}",
                "a longer deadline, or fewer steps",
            )
        if kind == "full" and stage.deadline and ms(stage.deadline) <= ms(stage.probation):
            yield Fault(
                (*path, "deadline"), f"{stage.deadline} is not after the probation of"
                f" {stage.probation}", f"above {stage.probation}; without one it is twice as long",
            )  # fmt: skip
        if kind == "supervised" and ms(stage.confirm_within) >= ms(stage.deadline):
            yield Fault((*path, "confirmWithin"), "is not before the deadline")
    if ms(spec.blind_after) < 2 * 60_000:
        yield Fault(
            at("blindAfter"), f"evidence is never fresher than a minute: {spec.blind_after} would"
            " always be blind", "15m",
        )  # fmt: skip


_TIMES = {
    "deadline": "deadline", "dwell": "dwell", "confirm_within": "confirmWithin",
    "probation": "probation",
}  # fmt: skip


def people(spec: Spec) -> Iterator[Fault]:
    for path, kind, stage in placed(spec):
        if kind == "approval" and stage.count > len(set(stage.people)):
            yield warning(
                (*path, "count"),
                f"{stage.count} signatures from {len(set(stage.people))} name: enough only if it is"
                " a group",
            )
        if kind == "supervised" and spec.assignment.by == "external":
            yield Fault(
                path, "a gateway cannot hold an answer until a person confirms it", "by: penstock"
            )


RULES: tuple[Rule, ...] = (order, growth, floors, times, people)
