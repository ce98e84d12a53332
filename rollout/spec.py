"""What an operator writes: which version may replace which, on what evidence, in which stages.

A spec is data. It is decoded here into closed sets and frozen values; what contradicts itself or
the model is `rollout.lint`'s to say. The same spec in YAML and JSON decodes to the same value, and
`digest` is over that value.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from streams import yamls
from streams.errors import InputError
from streams.events import Name, Share
from streams.models import MAX_SLICES, Duration

Count = Annotated[int, Meta(ge=1)]
Weight = Annotated[float, Meta(gt=0, le=100, description="per cent of the units in scope")]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]

Source = Literal["prediction", "pair", "label", "feedback", "audit", "drift"]
Stat = Literal["rate", "mean", "p50", "p90", "p95", "p99"]
Loss = Literal["errors", "missing", "latency", "disagreement", "wrong", "misses", "false_alarms",
               "cost", "value"]  # fmt: skip
Otherwise = Literal["rollback", "pause"]


class _Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """Fields are camelCase in the file, as operators know it from Kubernetes."""


class Metadata(_Part, frozen=True, kw_only=True):
    """What the rollout is called and who answers for it."""

    name: Name
    owner: Name | None = None
    description: str = ""


class VersionRef(_Part, frozen=True, kw_only=True):
    """A registered version; with a digest it must be exactly that one."""

    version: Name
    digest: Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None


class Assignment(_Part, frozen=True, kw_only=True):
    """Whose hash decides which version answers.

    `unit` is "request" or the name of what is hashed for sticky assignment (an account, a device).
    With `by: external` a gateway splits the requests, and Penstock reads which version answered.
    """

    unit: Name = "request"
    by: Literal["penstock", "external"] = "penstock"

    @property
    def sticky(self) -> bool:
        return self.unit != "request"


class Margin(_Part, frozen=True, kw_only=True):
    """How much worse a challenger may be: exactly one of the two.

    `absolute` is in units of the metric, `relative` a share of the champion's value.
    """

    absolute: NotNegative | None = None
    relative: NotNegative | None = None


class Crash(_Part, frozen=True, kw_only=True):
    """Fast harm: the first bad event of each unit, at this many times the champion's share."""

    ratio: Annotated[float, Meta(gt=1)]


class Metric(_Part, frozen=True, kw_only=True):
    """One thing that the versions are compared by.

    Args:
        source: where its values come from.
        of: which loss is counted; by default what `name` says, or the source's own.
        stat: of the losses, per unit.
        margin: the non-inferiority margin. It has no default.
        ceiling: a limit for the challenger alone, in units of the metric.
        exposure: for how long after enrolment a unit's values count.
        matures: the age at which labels are taken as known.
        missing: what a value stands for that is not there at that age.
        observed: whether the truth becomes known whatever the decision was.
        cap: values above it count as it ("mean capped at ...").
        paired: compared request by request, champion against challenger.
    """

    name: Name
    source: Source = msgspec.field(name="from")
    of: Loss | None = None
    stat: Stat | None = None
    better: Literal["lower", "higher"] = "lower"
    margin: Margin | None = None
    ceiling: NotNegative | None = None
    crash: Crash | None = None
    exposure: Duration | None = None
    matures: Duration | None = None
    missing: Literal["as-champion", "right", "wrong"] | None = None
    observed: Literal["always", "if_action"] | None = None
    cap: Positive | None = None
    paired: bool | None = None


class Judge(_Part, frozen=True, kw_only=True):
    """How much error the judge may make, and what it is tuned for."""

    alpha: Annotated[float, Meta(gt=0, le=0.2)] = 0.05
    planned_units: Annotated[int, Meta(ge=100)] = 20_000
    self_check: bool = True


class Boost(_Part, frozen=True, kw_only=True):
    """How many times as often such items are audited."""

    disagreement: Annotated[float, Meta(ge=1)] = 1.0
    protected: Annotated[float, Meta(ge=1)] = 1.0


class Audits(_Part, frozen=True, kw_only=True):
    """Which answers people look at."""

    rate: Share
    boost: Boost = Boost()
    opinions: Annotated[int, Meta(ge=1, le=5)] = 2
    daily_budget: Count | None = None


class Suite(_Part, frozen=True, kw_only=True):
    """What of the regression suite must hold."""

    must_pass: Name | None = None
    max_new_failures: Annotated[int, Meta(ge=0)] = 0


class HarmBudget(_Part, frozen=True, kw_only=True):
    """How many extra bad outcomes the whole rollout may cost."""

    metric: Name
    extra: Positive


class Least(_Part, frozen=True, kw_only=True):
    """What must have been seen before a stage may be left."""

    pairs: Count | None = None
    audited: Count | None = None
    units: Count | None = None
    age: Duration | None = None


class Scope(_Part, frozen=True, kw_only=True):
    """Requests whose tag has one of these values."""

    tag: Name
    values: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=100)] = msgspec.field(
        name="in"
    )


Required = Literal["guardrails"] | Annotated[tuple[Name, ...], Meta(min_length=1, max_length=40)]


class Shadow(_Part, frozen=True, kw_only=True):
    """The challenger answers beside the champion, and nobody acts on it."""

    require: Required
    least: Least = msgspec.field(default=Least(), name="min")
    deadline: Duration
    on_deadline: Otherwise | None = None


class Supervised(_Part, frozen=True, kw_only=True):
    """In a narrow scope a person confirms each of the challenger's answers before it counts."""

    weight: Weight
    where: Scope
    confirm_within: Duration
    otherwise: Literal["champion"] = "champion"
    least: Least = msgspec.field(default=Least(), name="min")
    deadline: Duration
    on_deadline: Otherwise | None = None


class Canary(_Part, frozen=True, kw_only=True):
    """A share of the units, growing step by step."""

    weights: Annotated[tuple[Weight, ...], Meta(min_length=1, max_length=20)]
    dwell: Duration
    require: Required
    least: Least = msgspec.field(default=Least(), name="min")
    deadline: Duration
    on_deadline: Otherwise | None = None


class Approval(_Part, frozen=True, kw_only=True):
    """People sign, or the rollout ends as `otherwise` says."""

    count: Annotated[int, Meta(ge=1, le=10)] = 1
    people: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=100)] = msgspec.field(
        name="from"
    )
    not_author: bool = True
    deadline: Duration
    otherwise: Otherwise = "rollback"


class ABTest(_Part, frozen=True, kw_only=True):
    """Half against half, or another share, until the goal is known."""

    weight: Weight
    goal: Name
    least: Least = msgspec.field(default=Least(), name="min")
    deadline: Duration
    on_deadline: Otherwise | None = None


class Full(_Part, frozen=True, kw_only=True):
    """All units, watched for as long as late evidence may come."""

    probation: Duration
    keep_warm: bool = True
    deadline: Duration | None = None
    """Of a probation that is over and may not end well; None: twice the probation."""
    on_deadline: Otherwise | None = None


class Stage(_Part, frozen=True, kw_only=True):
    """One stage: exactly one of these."""

    shadow: Shadow | None = None
    supervised: Supervised | None = None
    canary: Canary | None = None
    approval: Approval | None = None
    ab: ABTest | None = None
    full: Full | None = None

    def given(self) -> list[tuple[str, Any]]:
        """(kind, stage) of whatever stands here; lint holds it to one."""
        found = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return [(name, stage) for name, stage in found if stage is not None]


class Freeze(_Part, frozen=True, kw_only=True):
    """A span in which nothing advances; rollback goes on."""

    cron: Annotated[str, Meta(pattern=r"^\S+( \S+){4}$")]
    zone: Annotated[str, Meta(min_length=1, max_length=64)] = "UTC"
    length: Duration = msgspec.field(name="for")


class Spec(_Part, frozen=True, kw_only=True):
    """The rollout itself."""

    model: Name
    route: Name
    champion: VersionRef
    challengers: Annotated[tuple[VersionRef, ...], Meta(min_length=1, max_length=8)]
    attestation: Literal["none", "lineage", "full"] = "none"
    assignment: Assignment = Assignment()
    slices: Annotated[tuple[Name, ...], Meta(max_length=MAX_SLICES)] = ()
    metrics: Annotated[tuple[Metric, ...], Meta(min_length=1, max_length=40)]
    guardrails: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=40)]
    judge: Judge = Judge()
    audits: Audits | None = None
    suite: Suite | None = None
    harm_budget: HarmBudget | None = None
    blind_after: Duration = "15m"
    stages: Annotated[tuple[Stage, ...], Meta(min_length=1, max_length=12)]
    freeze: Annotated[tuple[Freeze, ...], Meta(max_length=20)] = ()
    on_deadline: Otherwise = "rollback"

    @property
    def by_name(self) -> Mapping[str, Metric]:
        return {metric.name: metric for metric in self.metrics}


class Rollout(_Part, frozen=True, kw_only=True):
    """The file."""

    api_version: Literal["penstock/v1"]
    kind: Literal["ModelRollout"]
    metadata: Metadata
    spec: Spec


def read(text: bytes, *, name: str = "file") -> tuple[Rollout, dict[yamls.Path, int]]:
    """The rollout that `text` declares in YAML or JSON, and the line of each place.

    Raises InputError with the line, the field and the nearest valid word.
    """
    return yamls.located(text, Rollout, name=name)


def canonical(rollout: Rollout) -> bytes:
    """The one spelling of a rollout: JSON with sorted keys, and every default written out.

    So a default that is said and one that is left out are the same spec, and a stored spec keeps
    its meaning when a default changes.
    """
    return msgspec.json.encode(_without_none(msgspec.to_builtins(rollout)), order="sorted")


def digest(rollout: Rollout) -> str:
    """sha256 of the canonical spelling; YAML and JSON of one spec agree."""
    return "sha256:" + hashlib.sha256(canonical(rollout)).hexdigest()


def decoded(body: bytes) -> Rollout:
    """The rollout of a stored canonical spelling. Raises InputError for anything else."""
    try:
        return msgspec.json.decode(body, type=Rollout)
    except msgspec.DecodeError as error:
        raise InputError(f"the stored spec cannot be read: {error}", rule="spec") from error


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(part) for key, part in value.items() if part is not None}
    return [_without_none(part) for part in value] if isinstance(value, list | tuple) else value
