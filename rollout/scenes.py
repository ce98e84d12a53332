"""What is known of a rollout at one moment: all that its next signal may depend on."""

from collections.abc import Iterable

from msgspec import Struct

from evidence.decision import Verdict
from rollout.courses import Course, Kind, Step
from rollout.decisions import Judged
from rollout.rules.places import required
from rollout.spec import Spec
from rollout.states import State


class Reached(Struct, frozen=True, kw_only=True):
    """What a challenger's step has seen so far, in frozen panes."""

    pairs: int = 0
    audited: int = 0
    units: int = 0


class Facts(Struct, frozen=True, kw_only=True):
    """What is known at one moment.

    Args:
        seq: the decision after which it holds; None: whatever was decided.
        verdicts: the newest look at every metric of every challenger, over all traffic and over
            protected slices; those of other slices are shown and decide nothing.
        reached: by challenger.
        fresh_ms: when the newest evidence of a challenger happened, domain time; None: never.
        broken: why no evidence can be trusted: sample ratio, changed schema, misassigned answers,
            corrections, coverage.
        extra_least: the harm budget's extra bad outcomes, at least; None without a budget.
        extra_estimate: the same, as estimated.
        following_up: whether units of this step are still within their exposure: no weight grows.
        restored: whether no service can give a request to a challenger any more.
    """

    seq: int | None = None
    verdicts: tuple[Judged, ...] = ()
    reached: dict[str, Reached] = {}
    fresh_ms: int | None = None
    broken: tuple[str, ...] = ()
    extra_least: float | None = None
    extra_estimate: float | None = None
    following_up: bool = False
    restored: bool = False


class Scene(Struct, frozen=True, kw_only=True):
    """Everything that a signal may depend on. `now_ms` is domain time."""

    state: State
    spec: Spec
    course: Course
    facts: Facts
    now_ms: int

    @property
    def kind(self) -> Kind:
        return self.state.place.kind

    @property
    def step(self) -> Step:
        return self.course[self.state.place.step]

    @property
    def left(self) -> tuple[str, ...]:
        """The challengers that are not out, in the spec's order."""
        refs = (ref.version for ref in self.spec.challengers)
        return tuple(arm for arm in refs if arm not in self.state.dropped)

    def verdicts(self, arm: str, metrics: Iterable[str]) -> list[Judged]:
        names = set(metrics)
        return [v for v in self.facts.verdicts if v.arm == arm and v.metric in names]

    def required(self) -> tuple[str, ...]:
        """Metrics that must be safe before this step is left."""
        return required(self.spec, self.step.kind.value, self.step.stage)


def lets_pass(judged: Judged, spec: Spec) -> bool:
    """Whether an advance need not wait for this verdict: proven safe, or a score in its ceiling."""
    if judged.verdict is Verdict.SAFE or spec.by_name[judged.metric].source != "drift":
        return judged.verdict is Verdict.SAFE
    score, limit = judged.estimate, judged.limit
    return score is not None and limit is not None and score <= limit


def over_budget(scene: Scene) -> str:
    """By how much the harm budget is exceeded, as estimated; empty while it is kept."""
    budget, estimate = scene.spec.harm_budget, scene.facts.extra_estimate
    if budget is None or estimate is None or estimate <= budget.extra:
        return ""
    return f"about {estimate:,.0f} extra bad outcomes, of {budget.extra:g} at most"


def is_harm(judged: Judged) -> bool:
    return judged.verdict is Verdict.HARM


def about(judged: Judged) -> str:
    """Which verdict it is, in words."""
    place = f" in {judged.slice}" if judged.slice else ""
    return f"{judged.arm}: {judged.metric}{place}"
