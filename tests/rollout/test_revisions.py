"""What an edit of a spec changes, and which edits need a second person."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout import spec
from rollout.revisions import DIRECTIONS, FIXED, Direction, changes, direction, loosening
from streams.errors import InputError
from tests.rollout.examples import FRAUD, GONE, edited

BEFORE = spec.read(FRAUD)[0]


def after(*edits):
    return spec.read(edited(*edits))[0]


CANARY, SHADOW = "stages.canary.canary", "stages.shadow.shadow"
LOOSENING = [
    ("metrics.errors.margin.relative", 0.6),
    ("metrics.errors.margin", {"absolute": 0.001}),  # cannot be compared with a relative one
    ("metrics.errors.crash.ratio", 3),
    ("metrics.errors.crash", GONE),
    ("metrics.errors.exposure", "5m"),
    ("metrics.latency.stat", "p50"),
    ("metrics.defects.matures", "2d"),
    ("metrics.defects.paired", "false"),
    ("metrics.disagreement.ceiling", 0.09),  # shadow requires it
    ("metrics.misses.missing", "right"),  # the goal
    ("guardrails", ["errors", "latency"]),
    ("judge.alpha", 0.01),
    ("judge.alpha", 0.1),
    ("judge.selfCheck", "false"),
    ("slices", ["eu"]),
    ("audits", GONE),
    ("audits.rate", 0.005),
    ("audits.boost.disagreement", 10),
    ("audits.boost", GONE),
    ("audits.opinions", 1),
    ("audits.dailyBudget", 300),
    ("suite", GONE),
    ("suite.maxNewFailures", 1),
    ("harmBudget", GONE),
    ("harmBudget.extra", 51),
    ("blindAfter", "20m"),
    ("onDeadline", "pause"),
    ("freeze", GONE),
    ("freeze.0.for", "10h"),
    (f"{SHADOW}.require", ["latency", "defects"]),
    (f"{SHADOW}.min.pairs", 19_999),
    (f"{SHADOW}.min.age", GONE),
    (f"{SHADOW}.deadline", "11d"),
    (f"{SHADOW}.onDeadline", "pause"),
    ("stages.shadow", GONE),
    ("stages.supervised.supervised.where.in", ["EU", "US"]),
    ("stages.supervised.supervised.where.tag", "country"),
    ("stages.supervised.supervised.confirmWithin", "20m"),
    ("stages.supervised", GONE),
    (f"{CANARY}.weights", [3, 5, 10]),
    (f"{CANARY}.weights", [2, 5]),
    (f"{CANARY}.weights", [2, 5, 10, 20]),
    (f"{CANARY}.dwell", "5h"),
    (f"{CANARY}.require", ["errors", "latency"]),
    ("stages.approval", GONE),
    ("stages.approval.approval.from", ["risk-oncall", "everyone"]),
    ("stages.approval.approval.notAuthor", "false"),
    ("stages.approval.approval.otherwise", "pause"),
    ("stages.ab.ab.weight", 51),
    ("stages.ab.ab.goal", "revenue"),
    ("stages.full.full.probation", "20d"),
    ("stages.full.full.keepWarm", "false"),
    ("stages.full.full.deadline", "90d"),
    ("stages.full.full.deadline", "25d"),  # how that compares hangs on the probation
    ("stages.full.full.onDeadline", "pause"),
]
NOT_LOOSENING = [
    ("metadata.owner", "ann"),
    ("metadata.description", "a better one"),
    ("metrics.errors.margin.relative", 0.4),
    ("metrics.errors.crash.ratio", 1.8),
    ("metrics.latency.crash", {"ratio": 2}),
    ("metrics.disagreement.ceiling", 0.05),
    ("metrics.revenue.margin.relative", 0.5),  # decides nothing
    ("metrics.revenue", GONE),
    ("metrics.+", {"name": "wrong", "from": "label", "margin": {"absolute": 0.1}}),
    ("guardrails", ["errors", "latency", "defects", "misses"]),
    ("guardrails", ["defects", "latency", "errors"]),
    ("judge.plannedUnits", 40_000),
    ("audits.rate", 0.02),
    ("audits.dailyBudget", GONE),
    ("harmBudget.extra", 40),
    ("blindAfter", "10m"),
    ("freeze.+", {"cron": "0 0 24 12 *", "for": "7d"}),
    (f"{SHADOW}.require", ["disagreement", "input_drift", "latency", "defects", "errors"]),
    (f"{SHADOW}.min.pairs", 30_000),
    (f"{SHADOW}.min.age", "2d"),
    (f"{SHADOW}.deadline", "9d"),
    (f"{SHADOW}.onDeadline", "rollback"),
    (f"{CANARY}.weights", [1, 2, 5, 10]),
    (f"{CANARY}.dwell", "360m"),
    (f"{CANARY}.dwell", "12h"),
    (f"{CANARY}.require", ["errors", "latency", "defects"]),
    ("stages.approval.approval.count", 2),
    ("stages.ab.ab.weight", 40),
    ("stages.full.full.probation", "30d"),
    ("stages.full.full.onDeadline", "rollback"),
]


@pytest.mark.parametrize("edit", LOOSENING, ids=str)
def test_an_edit_that_loosens_needs_a_second_person(edit):
    assert loosening(changes(BEFORE, after(edit)))


@pytest.mark.parametrize("edit", NOT_LOOSENING, ids=str)
def test_an_edit_that_tightens_or_only_tells_needs_one(edit):
    assert loosening(changes(BEFORE, after(edit))) == ()


def test_the_way_back_of_a_loosening_margin_does_not_loosen():
    loose = after(("metrics.errors.margin.relative", 0.6), ("blindAfter", "1h"))

    assert len(loosening(changes(BEFORE, loose))) == 2
    assert loosening(changes(loose, BEFORE)) == ()


def test_a_stage_more_is_a_test_more_unless_it_takes_new_traffic():
    without = after(("stages.approval", GONE))
    shadow = after(("stages", [{"shadow": {"require": ["latency"], "deadline": "1d"}}]))

    assert loosening(changes(without, BEFORE)) == ()
    assert loosening(changes(shadow, BEFORE))


def test_a_diff_names_metrics_and_stages_and_both_values():
    found = changes(
        BEFORE, after(("metrics.errors.margin.relative", 0.6), (f"{CANARY}.dwell", "12h"))
    )

    assert [(c.field, c.before, c.after, c.loosens) for c in found] == [
        ("spec.metrics.errors.margin.relative", 0.5, 0.6, True),
        ("spec.stages.canary.dwell", "6h", "12h", False),
    ]


def test_a_metric_may_have_any_name():
    name = ("metrics.errors.name", "spec.errors.margin")
    guardrails = ("guardrails", ["spec.errors.margin", "latency", "defects"])
    before = after(name, guardrails)
    wider = after(name, guardrails)
    metric = msgspec.structs.replace(wider.spec.metrics[1], margin=spec.Margin(relative=0.9))
    metrics = (wider.spec.metrics[0], metric, *wider.spec.metrics[2:])
    wider = msgspec.structs.replace(
        wider, spec=msgspec.structs.replace(wider.spec, metrics=metrics)
    )

    (change,) = changes(before, wider)

    assert (change.field, change.loosens) == (
        "spec.metrics.spec.errors.margin.margin.relative", True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "edit",
    [
        ("metadata.name", "fraud-43"),
        ("model", "other"),
        ("route", "refunds"),
        ("champion.version", "40"),
        ("challengers.+", {"version": "43"}),
        ("challengers.0.digest", "sha256:" + "a" * 64),
        ("assignment.unit", "device"),
    ],
    ids=str,
)
def test_what_the_evidence_is_about_never_changes(edit):
    with pytest.raises(InputError, match="never changes") as caught:
        changes(BEFORE, after(edit))

    assert caught.value.fix == "end this rollout and make another one"


def test_every_field_of_a_spec_has_its_direction():
    known = {pattern for patterns in DIRECTIONS.values() for pattern in patterns}
    fields = set(_fields(msgspec.inspect.type_info(spec.Rollout), ()))
    fixed = {f for f in fields if any(f == each or f.startswith(f"{each}.") for each in FIXED)}

    assert known == fields - fixed


def test_a_field_that_the_table_does_not_know_loosens():
    assert direction(("spec", "somethingNew")) is Direction.CHANGED


def _fields(kind, place):
    """Every leaf of the schema as the table spells it."""
    if isinstance(kind, msgspec.inspect.UnionType):
        for option in kind.types:
            yield from _fields(option, place)
    elif isinstance(kind, msgspec.inspect.StructType):
        for field in kind.fields:
            if place == ("spec", "metrics", "*") and field.name == "name":
                continue
            in_stage = kind.cls is spec.Stage
            yield from _fields(field.type, place if in_stage else (*place, field.encode_name))
    elif isinstance(kind, msgspec.inspect.VarTupleType) and place in (
        ("spec", "metrics"), ("spec", "stages"),
    ):  # fmt: skip
        yield from _fields(kind.item_type, (*place, "*"))
    elif isinstance(kind, msgspec.inspect.Metadata):
        yield from _fields(kind.type, place)
    elif not isinstance(kind, msgspec.inspect.NoneType):
        yield ".".join(place)


@given(st.sampled_from(LOOSENING + NOT_LOOSENING), st.sampled_from(LOOSENING + NOT_LOOSENING))
def test_no_edit_is_its_own_way_back_unseen(first, second):
    """What is loosened in one step is seen in it, whatever is edited beside it."""
    if first[0].split(".")[:2] == second[0].split(".")[:2] or second[1] is GONE:
        return
    one = {c.field for c in loosening(changes(BEFORE, after(first)))}

    both = {c.field for c in loosening(changes(BEFORE, after(first, second)))}

    assert one <= both


def test_nothing_differs_from_itself():
    assert changes(BEFORE, spec.decoded(spec.canonical(BEFORE))) == ()
