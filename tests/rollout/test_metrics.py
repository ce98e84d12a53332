"""Every way to write a metric is one row of the table of spec forms."""

import msgspec
import pytest

from evidence.forms import Form
from rollout import spec
from rollout.metrics import form_of, loss_of, stat_of
from rollout.needs import audit_probability, guardrail_of, need
from tests.rollout.examples import FRAUD

FRAUD_SPEC = spec.read(FRAUD)[0].spec


def metric(**fields):
    return msgspec.convert({"name": "m"} | fields, spec.Metric)


ABSOLUTE, RELATIVE = {"absolute": 0.01}, {"relative": 0.1}
FORMS = [
    ({"from": "label", "margin": ABSOLUTE}, Form.DIFFERENCE),
    ({"from": "feedback", "stat": "mean", "cap": 5, "margin": ABSOLUTE}, Form.DIFFERENCE),
    ({"from": "prediction", "of": "errors", "margin": RELATIVE}, Form.EVENT_SHARE),
    ({"from": "feedback", "stat": "mean", "cap": 5, "margin": RELATIVE}, Form.RATIO),
    ({"from": "prediction", "of": "latency", "stat": "p95", "margin": RELATIVE}, Form.QUANTILE),
    ({"from": "prediction", "of": "latency", "stat": "p50", "margin": ABSOLUTE}, Form.QUANTILE),
    ({"from": "pair", "ceiling": 0.05}, Form.CEILING),
    ({"from": "prediction", "of": "latency", "stat": "p99", "ceiling": 80}, Form.CEILING),
    ({"from": "label", "paired": True, "margin": ABSOLUTE}, Form.PAIRED_DIFFERENCE),
    ({"from": "audit", "paired": True, "margin": RELATIVE}, Form.PAIRED_RATIO),
    ({"from": "feedback", "stat": "mean", "margin": RELATIVE}, Form.ASYMPTOTIC),
    ({"from": "drift", "ceiling": 1.0}, Form.HEURISTIC),
]


@pytest.mark.parametrize(("fields", "form"), FORMS)
def test_each_row_of_the_table(fields, form):
    each = metric(**fields)

    assert form_of(each) is form
    assert (guardrail_of(FRAUD_SPEC, each).statistic is None) == (
        form in (Form.ASYMPTOTIC, Form.HEURISTIC)
    )


def test_every_form_can_be_written():
    assert {form for _, form in FORMS} == set(Form)


def test_a_relative_margin_on_a_common_event_is_a_ratio():
    errors = metric(**{"from": "prediction", "of": "errors", "margin": RELATIVE})

    assert form_of(errors, rare=False) is Form.RATIO


@pytest.mark.parametrize(
    ("fields", "loss", "stat"),
    [
        ({"name": "misses", "from": "label"}, "misses", "rate"),
        ({"name": "misses", "from": "label", "of": "wrong"}, "wrong", "rate"),
        ({"name": "defects", "from": "audit"}, "wrong", "rate"),
        ({"name": "cost", "from": "label"}, "cost", "mean"),
        ({"name": "revenue", "from": "feedback"}, "value", None),
        ({"name": "latency", "from": "prediction"}, "latency", None),
        ({"name": "speed", "from": "prediction"}, None, None),
        ({"name": "change", "from": "pair"}, "disagreement", "rate"),
        ({"name": "drift", "from": "drift"}, None, None),
    ],
)
def test_a_metric_counts_what_it_says_or_is_called(fields, loss, stat):
    assert (loss_of(metric(**fields)), stat_of(metric(**fields))) == (loss, stat)


def audited(**fields):
    return metric(**{"from": "audit", "matures": "3d", "margin": ABSOLUTE} | fields)


def with_audits(rate, boost=1.0, ceiling=0.06):
    metrics = tuple(
        msgspec.structs.replace(m, ceiling=ceiling) if m.source == "pair" else m
        for m in FRAUD_SPEC.metrics
    )
    audits = spec.Audits(rate=rate, boost=spec.Boost(disagreement=boost))
    return msgspec.structs.replace(FRAUD_SPEC, audits=audits, metrics=metrics)


@pytest.mark.parametrize(("margin", "simulated"), [(0.01, 270), (0.005, 910)])
def test_paired_labels_are_about_those_that_were_simulated(margin, simulated):
    """Statistics rule 17: 6 % disagree, all of those are audited, an equal version."""
    disagreements = 0.06

    found = need(with_audits(1.0), audited(paired=True, margin={"absolute": margin}), weight=0.0)

    assert found.units * disagreements == pytest.approx(simulated, rel=0.35)


def test_two_audited_arms_need_tens_of_thousands():
    """Rule 17: about 23,500 an arm for half a point at 5 % and one look; looking often costs."""
    found = need(with_audits(0.01), audited(paired=False, margin={"absolute": 0.005}), weight=50.0)

    assert 47_000 < found.labels < 2 * 47_000


def test_auditing_disagreements_more_often_costs_fewer_labels():
    plain = need(with_audits(0.01), audited(paired=True), weight=0.0)
    boosted = need(with_audits(0.01, boost=20), audited(paired=True), weight=0.0)

    assert boosted.labels < plain.labels
    assert boosted.units < plain.units / 10


def test_a_wider_margin_and_more_weight_need_fewer_units():
    errors = FRAUD_SPEC.by_name["errors"]
    wide = msgspec.structs.replace(errors, margin=spec.Margin(relative=1.0))

    assert need(FRAUD_SPEC, wide, weight=10).units < need(FRAUD_SPEC, errors, weight=10).units
    assert need(FRAUD_SPEC, errors, weight=50).units < need(FRAUD_SPEC, errors, weight=1).units


def test_what_only_traffic_can_tell_has_no_number():
    assert need(FRAUD_SPEC, FRAUD_SPEC.by_name["revenue"], weight=10) is None
    assert need(FRAUD_SPEC, FRAUD_SPEC.by_name["input_drift"], weight=0) is None


@pytest.mark.parametrize(
    ("wanted", "step"), [(0.01, 0.01), (0.011, 0.02), (0.2, 0.2), (0.3, 0.5), (3.0, 1.0)]
)
def test_a_probability_is_a_step_of_the_ladder_and_never_below_what_was_asked(wanted, step):
    assert audit_probability(wanted) == step
