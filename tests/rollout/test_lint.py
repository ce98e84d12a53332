"""Every rule of a spec, by an edit of one that is valid."""

from typing import get_args

import msgspec
import pytest

from rollout.lint import lint
from rollout.metrics import LOSSES
from rollout.spec import Loss, Source
from streams.bundles import Bundle
from streams.models import Slice, Term, observed
from streams.versions import Body, Version
from tests.rollout.examples import FRAUD, GONE, MODEL, edited, linted


def metric(name, source, **fields):
    return {"name": name, "from": source, **fields}


def test_the_example_has_nothing_to_be_said_about():
    report = lint(FRAUD, name="rollout.yaml", model=MODEL)

    assert report.findings == ()
    assert report.ok
    assert report.digest.startswith("sha256:")


SPELLING = [
    ([("metrics.latency.margn", {"relative": 1})], "spec.metrics[0].margn", "did you mean margin?"),
    ([("metrics.latency.from", "predictions")], "spec.metrics[0].from", "did you mean prediction?"),
    ([("metrics.latency.from", "audti")], "spec.metrics[0].from", "did you mean audit?"),
    ([("stages.canary.canary.dwell", "6 hours")], "spec.stages[2].canary.dwell", "for example 14d"),
    ([("stages.canary.canary.deadline", GONE)], "spec.stages[2].canary.deadline", "add deadline"),
    ([("stages.canary.canary.require", "errors")],
     "spec.stages[2].canary.require", "known: guardrails"),
    ([("stages.canary.canary.weights", 5)], "spec.stages[2].canary.weights", "write a list: [5]"),
    ([("judge.selfCheck", "yes")], "spec.judge.selfCheck", "known: false, true"),
    ([("onDeadline", "rolback")], "spec.onDeadline", "did you mean rollback?"),
    ([("apiVersion", "penstock/v2")], "apiVersion", "did you mean penstock/v1?"),
    ([("judge.alpha", "inf")], "spec.judge.alpha", ""),
    ([("metrics.revenue.cap", "inf")], "spec.metrics[5].cap", ""),
]  # fmt: skip

METRICS = [
    ([("metrics.+", metric("latency", "pair", ceiling=0.1))], "spec.metrics[7].name", "two metri"),
    ([("metrics.disagreement.matures", "3d")], "spec.metrics[2].matures", "means nothing"),
    ([("metrics.latency.observed", "always")], "spec.metrics[0].observed", "means nothing"),
    ([("metrics.disagreement.margin", {"absolute": 0.1})], "spec.metrics[2].margin", "means not"),
    ([("metrics.input_drift.crash", {"ratio": 2})], "spec.metrics[6].crash", "means nothing"),
    ([("metrics.latency.of", "misses")], "spec.metrics[0].of", "nothing that a metric"),
    ([("metrics.latency.name", "latnecy"), ("guardrails", ["errors"]),
      ("stages.shadow.shadow.require", ["defects"])],
     "spec.metrics[0].of", "did you mean latency?"),
    ([("metrics.latency.stat", GONE)], "spec.metrics[0].stat", "known: mean, p50"),
    ([("metrics.latency.stat", "rate")], "spec.metrics[0].stat", "no rate"),
    ([("metrics.misses.stat", "p95")], "spec.metrics[3].stat", "no p95"),
    ([("metrics.errors.better", "higher")], "spec.metrics[1].better", "never better"),
    ([("metrics.errors.margin", GONE)], "spec.metrics[1]", "neither margin nor ceiling"),
    ([("metrics.disagreement.ceiling", GONE)], "spec.metrics[2]", "neither margin nor ceiling"),
    ([("metrics.input_drift.ceiling", GONE)], "spec.metrics[6]", "add ceiling"),
    ([("metrics.errors.ceiling", 0.1)], "spec.metrics[1].ceiling", "not both"),
    ([("metrics.errors.margin", {})], "spec.metrics[1].margin", "exactly one"),
    ([("metrics.errors.margin.absolute", 0.1)], "spec.metrics[1].margin", "exactly one"),
    ([("metrics.misses.margin.absolute", 1)], "spec.metrics[3].margin.absolute", "points are"),
    ([("metrics.revenue.margin.relative", 1)], "spec.metrics[5].margin.relative", "never be"),
    ([("metrics.disagreement.ceiling", 8)], "spec.metrics[2].ceiling", "5 % is 0.05"),
    ([("metrics.disagreement.ceiling", 0)], "spec.metrics[2].ceiling", "strictly between"),
    ([("metrics.revenue.margin", GONE), ("metrics.revenue.ceiling", 5)],
     "spec.metrics[5].ceiling", "what should be high"),
    ([("metrics.revenue.margin", GONE), ("metrics.revenue.ceiling", 5),
      ("metrics.revenue.better", "lower")], "spec.metrics[5].ceiling", "a mean has no ceiling"),
    ([("metrics.latency.margin", GONE), ("metrics.latency.ceiling", 0)],
     "spec.metrics[0].ceiling", "above 0 ms"),
    ([("metrics.defects.margin", GONE), ("metrics.defects.ceiling", 0.1)],
     "spec.metrics[4].ceiling", "a pair at both"),
    ([("metrics.errors.cap", 5)], "spec.metrics[1].cap", "needs no cap"),
    ([("metrics.revenue.crash", {"ratio": 2})], "spec.metrics[5].crash", "rates where lower"),
    ([("metrics.misses.crash", {"ratio": 2})], "spec.metrics[3].crash", "only a guardrail"),
    ([("metrics.misses.crash", {"ratio": 2}), ("metrics.misses.paired", "true")],
     "spec.metrics[3].crash", "unpaired"),
    ([("metrics.errors.crash.ratio", 1.5)], "spec.metrics[1].crash.ratio", "within the margin"),
    ([("metrics.misses.matures", GONE)], "spec.metrics[3].matures", "at which age"),
    ([("metrics.defects.matures", GONE)], "spec.metrics[4].matures", "at which age"),
    ([("metrics.misses.observed", GONE)], "spec.metrics[3].observed", "if_action where"),
    ([("metrics.misses.missing", GONE)], "spec.metrics[3].missing", "never comes"),
    ([("metrics.misses.observed", "if_action"), ("metrics.misses.paired", "true")],
     "spec.metrics[3].paired", "exactly where the versions disagree"),
    ([("metrics.misses.observed", "if_action")], "spec.metrics[3].missing", "missing: wrong"),
    ([("metrics.defects.paired", GONE)], "spec.metrics[4].paired", "tens of thousands"),
    ([("metrics.defects.of", "cost"), ("metrics.defects.stat", "mean")],
     "spec.metrics[4].paired", "not by a mean"),
    ([("audits", GONE)], "spec.metrics[4]", "add audits"),
    ([("audits.rate", 0)], "spec.audits.rate", "nothing is audited"),
    ([("audits.rate", 0), ("metrics.defects.margin", {"relative": 0.2})],
     "spec.audits.rate", "agreements audited"),
    ([("assignment.by", "external")], "spec.assignment.unit", "splits requests"),
    ([("metrics.errors.exposure", GONE)], "spec.metrics[1].exposure", "not independent"),
    ([("metrics.revenue.exposure", GONE)], "spec.metrics[5].exposure", "one value per account_id"),
    ([("metrics.defects.paired", "false")], "spec.metrics[4].paired", "by request, not by"),
    ([("metrics.errors.exposure", "0m")], "spec.metrics[1].exposure", "no time at all"),
]  # fmt: skip

STAGES = [
    ([("stages.shadow.full", {"probation": "1d"})], "spec.stages[0]", "2 stages, not one"),
    ([("stages.shadow.shadow", GONE)], "spec.stages[0]", "0 stages, not one"),
    ([("stages.+", {"shadow": {"require": ["latency"], "deadline": "1d"}})],
     "spec.stages[6].shadow", "cannot come after full"),
    ([("stages.+", {"full": {"probation": "30d"}})], "spec.stages[6].full", "stands twice"),
    ([("stages.full.full.deadline", "21d")], "spec.stages[5].full.deadline", "not after the"),
    ([("stages.canary.canary.weights", [2, 10, 5])],
     "spec.stages[2].canary.weights[2]", "5 % is no growth over 10 %"),
    ([("stages.canary.canary.weights", [1, 5])],
     "spec.stages[2].canary.weights[0]", "1 % is no growth over 1 %"),
    ([("stages.ab.ab.weight", 10)], "spec.stages[4].ab.weight", "no growth over 10 %"),
    ([("stages.ab.ab.weight", 100)], "spec.stages[4].ab.weight", "no units to be compared"),
    ([("challengers.+", {"version": "43"})], "spec.stages[4].ab.weight", "2 x 50 %"),
    ([("stages.shadow.shadow.min", {"units": 5})], "spec.stages[0].shadow.min.units", "not coun"),
    ([("stages.canary.canary.min", {"pairs": 5})], "spec.stages[2].canary.min.pairs", "not coun"),
    ([("stages.ab.ab.min.age", "35d")], "spec.stages[4].ab.min.age", "not before the deadline"),
    ([("audits.rate", 0)], "spec.stages[0].shadow.min.audited", "nothing is audited"),
    ([("stages.canary.canary.dwell", "2d")], "spec.stages[2].canary.dwell", "3 steps of 2d"),
    ([("stages.canary.canary.dwell", "0h")], "spec.stages[2].canary.dwell", "no time at all"),
    ([("stages.approval.approval.deadline", "0d")], "spec.stages[3].approval.deadline", "no time"),
    ([("stages.supervised.supervised.confirmWithin", "3d")],
     "spec.stages[1].supervised.confirmWithin", "not before the deadline"),
    ([("blindAfter", "1m")], "spec.blindAfter", "always be blind"),
    ([("assignment", {"unit": "request", "by": "external"})],
     "spec.stages[1].supervised", "until a person confirms"),
]  # fmt: skip

GATES = [
    ([("guardrails", ["erors", "latency", "defects"])], "spec.guardrails[0]", "you mean errors?"),
    ([("guardrails", ["errors", "errors", "latency"])], "spec.guardrails", "stands twice"),
    ([("stages.shadow.shadow.require", ["latncy"])],
     "spec.stages[0].shadow.require[0]", "did you mean latency?"),
    ([("stages.ab.ab.goal", "miss")], "spec.stages[4].ab.goal", "did you mean misses?"),
    ([("harmBudget.metric", "defect")], "spec.harmBudget.metric", "did you mean defects?"),
    ([("guardrails", ["errors", "input_drift"])], "spec.guardrails[1]", "no proof of harm"),
    ([("guardrails", ["errors", "disagreement"])], "spec.guardrails[1]", "a busy day"),
    ([("metrics.revenue.cap", GONE), ("guardrails", ["errors", "revenue"])],
     "spec.guardrails[1]", "asymptotic"),
    ([("stages.shadow.shadow.require", ["input_drift"])],
     "spec.stages[0].shadow.require", "heuristic may not be the only gate"),
    ([("metrics.revenue.cap", GONE), ("stages.ab.ab.goal", "revenue")],
     "spec.stages[4].ab.goal", "asymptotic may not be the only gate"),
    ([("metrics.revenue.cap", GONE), ("stages.canary.canary.require", ["revenue", "input_drift"])],
     "spec.stages[2].canary.require", "asymptotic and heuristic may not"),
    ([("stages.shadow.shadow.require", ["misses"]), ("stages.shadow.shadow.deadline", "30d")],
     "spec.stages[0].shadow.require", "in shadow there is one"),
    ([("stages.shadow.shadow.require", ["latency", "revenue"])],
     "spec.stages[0].shadow.require", "require it in canary or ab"),
    ([("metrics.errors.of", "missing"), ("stages.shadow.shadow.require", ["errors"]),
      ("assignment", {"unit": "request"})],
     "spec.stages[0].shadow.require", "shadow assigns none"),
    ([("metrics.errors.of", "missing")],
     "spec.metrics[1]", "by request and arm, not by account_id"),
    ([("stages.ab.ab.deadline", "14d")], "spec.stages[4].ab.goal", "known after 14d"),
    ([("stages.canary.canary.deadline", "2d"), ("stages.shadow.shadow.require", ["latency"])],
     "spec.stages[2].canary.require", "'defects' is known after 3d"),
    ([("harmBudget.metric", "errors")], "spec.harmBudget.metric", "extra bad outcomes"),
]  # fmt: skip

TERMS = [
    ([("challengers.0.version", "41")], "spec.challengers[0].version", "stands twice"),
    ([("challengers.0.version", "people")], "spec.challengers[0].version", "champion: {version"),
    ([("champion", {"version": "people", "digest": "sha256:" + "0" * 64})],
     "spec.champion.digest", "no software"),
    ([("slices", ["eu", "eu", "new_accounts"])], "spec.slices", "stands twice"),
    ([("audits.rate", 0.002)], "spec.audits.rate", "below 0.01"),
    ([("freeze.0.for", "0h")], "spec.freeze[0].for", "no time at all"),
    ([("freeze.0.for", "169h")], "spec.freeze[0].for", "nothing ever advances"),
    ([("freeze.0.cron", "0 16 * * FRY")], "spec.freeze[0].cron", "no schedule"),
    ([("freeze.0.zone", "Europe/Berln")], "spec.freeze[0].zone", "did you mean Europe/Berlin?"),
]  # fmt: skip

AGAINST_THE_MODEL = [
    ([("model", "fraud-scores")], "spec.model", "model: fraud-scorer"),
    ([("slices", ["zz", "new_accounts"])], "spec.slices[0]", "known: eu, new_accounts"),
    ([("slices", ["eu", "new_acounts"])], "spec.slices[1]", "did you mean new_accounts?"),
    ([("metrics.misses.matures", "15d")], "spec.metrics[3].matures", "at most 14d"),
    ([("metrics.defects.matures", "4d")], "spec.metrics[4].matures", "at most 3d"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    SPELLING + METRICS + STAGES + GATES + TERMS + AGAINST_THE_MODEL,
)
def test_what_a_spec_contradicts_is_an_error_with_line_field_reason_and_fix(changes, field, words):
    text = edited(*changes)
    report = lint(text, name="rollout.yaml", model=MODEL)

    found = [f for f in report.findings if f.field == field and words in f"{f.reason}; {f.fix}"]
    assert [f.level for f in found] == ["error"], report.findings
    assert not report.ok
    assert report.digest is None
    assert 1 <= found[0].line <= len(text.splitlines())


WARNINGS = [
    ([("metrics.misses.margin.absolute", 0)], "spec.metrics[3].margin", "challenger is better"),
    ([("stages.full", GONE)], "spec.stages[4]", "nobody is promoted"),
    ([("stages", [{"full": {"probation": "21d"}}])], "spec.stages[0]", "every unit gets"),
    ([("guardrails", ["defects"]), ("metrics.errors.crash", GONE)],
     "spec.guardrails", "no guardrail is from predictions"),
    ([("stages.canary.canary.require", ["latency"])], "spec.guardrails[0]", "undecided"),
    ([("stages.full.full.probation", "2d")], "spec.stages[5].full.probation", "at least 3d"),
    ([("stages.full.full.keepWarm", "false")], "spec.stages[5].full.keepWarm", "has started"),
    ([("stages.approval.approval.count", 2)], "spec.stages[3].approval.count", "a group"),
    ([("audits.rate", 0.03)], "spec.audits.rate", "becomes 0.05"),
    ([("metrics.defects.paired", "false"), ("stages.shadow.shadow.require", ["latency"]),
      ("assignment", {"unit": "request"})],
     "spec.metrics[4].margin", "paired: true"),
    ([("metrics.defects.margin.absolute", 0.002)], "spec.metrics[4].margin", "2 or 3 points"),
    ([("audits.dailyBudget", 50)], "spec.metrics[4].margin", "50 a day until its deadline"),
    ([("slices", ["eu"])], "spec.slices", "'new_accounts' is not watched"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "field", "words"), WARNINGS)
def test_what_is_likely_meant_otherwise_is_a_warning_and_no_obstacle(changes, field, words):
    report = linted(*changes)

    found = [f for f in report.findings if f.field == field and words in f"{f.reason}; {f.fix}"]
    assert [f.level for f in found] == ["warning"], report.findings
    assert report.ok


def test_the_line_is_the_one_in_the_file():
    text = FRAUD.replace(b"margin: {relative: 0.10}, ", b"")
    line = 1 + text.splitlines().index(next(x for x in text.splitlines() if b"name: latency" in x))

    (finding, *_) = lint(text, name="rollout.yaml").findings

    assert (finding.line, finding.field) == (line, "spec.metrics[0]")


def test_several_mistakes_are_told_at_once():
    report = linted(
        ("metrics.latency.margin", GONE), ("stages.ab.ab.weight", 5), ("freeze.0.zone", "Mars"),
        ("guardrails", ["erors", "latency"]),
    )  # fmt: skip

    assert {f.field for f in report.findings if f.level == "error"} == {
        "spec.metrics[0]", "spec.stages[4].ab.weight", "spec.freeze[0].zone", "spec.guardrails[0]",
        "spec.metrics[1].crash",  # whose guardrail is misspelt
    }  # fmt: skip


def test_what_shadow_has_proven_on_pairs_stands_in_canary():
    assert linted(("stages.canary.canary.deadline", "2d")).findings == ()


def test_one_mistake_in_a_metric_is_told_once():
    report = linted(
        ("metrics.latency.margin", GONE), ("stages.shadow.shadow.require", ["latency", "defects"])
    )

    assert [f.field for f in report.findings] == ["spec.metrics[0]"]


def test_a_model_that_nobody_declared_is_never_judged():
    report = linted(model=observed("fraud-scorer"))

    assert [f.field for f in report.findings] == ["spec.model"]
    assert "penstock model register" in report.findings[0].fix


def test_what_is_counted_must_be_declared_by_the_model():
    many = msgspec.structs.replace(MODEL, classes=("a", "b", "c"), costs=None)
    report = linted(("metrics.defects.of", "cost"), ("metrics.defects.stat", "mean"), model=many)
    assert {(f.field, f.fix) for f in report.findings} >= {
        ("spec.metrics[3].of", "of: wrong"),
        ("spec.metrics[4].of", "add costs: {false_alarm: ..., miss: ...} to the model"),
    }

    number = msgspec.structs.replace(MODEL, task="regression", classes=())
    report = linted(model=number)
    assert "spec.metrics[4].of" in {f.field for f in report.findings}

    hasty = msgspec.structs.replace(MODEL, horizons={"outcome": "14d"})
    (finding,) = linted(model=hasty).findings
    assert (finding.field, finding.fix) == (
        "spec.metrics[4].matures", "add horizons: {audit: 3d} to the model",
    )  # fmt: skip


DIGEST = "a" * 64
LINEAGE = Body(
    bundle=Bundle(onnx="m.onnx", hyperparameters={}, seed=1, dataset="d@1", commit="3fae2c9")
)


@pytest.mark.parametrize(
    ("changes", "field", "fix"),
    [
        ([("challengers.0.version", "see")], "spec.challengers[0].version", "did you mean seen?"),
        ([("challengers.0.digest", f"sha256:{'b' * 64}")],
         "spec.challengers[0].digest", f"sha256:{DIGEST}"),
        ([("challengers.0.version", "seen")], "spec.challengers[0].version",
         "penstock model add-version -f version.yaml"),
    ],
)  # fmt: skip
def test_versions_must_be_there_and_be_those_that_are_meant(changes, field, fix):
    versions = [
        Version("fraud-scorer", "41", 1),
        Version("fraud-scorer", "42", 2, DIGEST, LINEAGE, created_ms=1),
        Version("fraud-scorer", "seen", 3),
    ]
    assert linted(versions=versions).findings == ()
    assert linted(("challengers.0.digest", f"sha256:{DIGEST}"), versions=versions).ok
    assert linted(("champion.version", "people"), versions=versions).ok

    (finding,) = linted(*changes, versions=versions).findings

    assert (finding.level, finding.field, finding.fix) == ("error", field, fix)


@pytest.mark.parametrize(
    ("asked", "bundle", "parity", "reason", "fix"),
    [
        ("lineage", Bundle(), None, "dataset, hyperparameters, seed, commit", "-f version.yaml"),
        ("full", LINEAGE.bundle, None, "a passed parity check", "model parity fraud-scorer 42"),
        ("full", LINEAGE.bundle, False, "a passed parity check", "model parity fraud-scorer 42"),
        ("full", LINEAGE.bundle, True, "", ""),
        ("lineage", LINEAGE.bundle, False, "", ""),
        ("none", Bundle(), False, "", ""),
    ],
)
def test_a_challenger_must_bring_what_the_spec_asks_for(asked, bundle, parity, reason, fix):
    versions = [
        Version("fraud-scorer", "41", 1),
        Version("fraud-scorer", "42", 2, DIGEST, Body(bundle=bundle), 1, parity=parity),
    ]

    found = linted(("attestation", asked), versions=versions).findings

    assert [finding.level for finding in found] == (["error"] if reason else [])
    if reason:
        assert found[0].field == "spec.challengers[0].version"
        assert found[0].reason.endswith(reason)
        assert fix in found[0].fix


def test_every_protected_slice_of_the_model_must_be_watched_or_is_warned_of():
    part = Slice(name="night", where=(Term(tag="hour", equals="night"),), protected=True)
    report = linted(model=msgspec.structs.replace(MODEL, slices=(*MODEL.slices, part)))

    assert [f.level for f in report.findings] == ["warning"]


def test_every_source_has_its_losses():
    assert set(LOSSES) == set(get_args(Source))
    assert {loss for known in LOSSES.values() for loss in known} == set(get_args(Loss))
