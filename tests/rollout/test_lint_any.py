"""Whatever stands in a spec, lint answers with findings and never with a traceback."""

import copy
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.lint import lint
from tests.laws import examples
from tests.rollout.examples import FRAUD, MODEL, as_json

PLAIN = as_json(FRAUD)


def places(value, path=()):
    yield path
    parts = value.items() if isinstance(value, dict) else ()
    for step, part in enumerate(value) if isinstance(value, list) else parts:
        yield from places(part, (*path, step))


def at(value, path):
    for step in path:
        value = value[step]
    return value


PATHS = [path for path in places(PLAIN) if path]
scalars = (
    st.none() | st.booleans() | st.integers(-1, 200) | st.floats(-1, 2)
    | st.sampled_from(["guardrails", "errors", "people", "0d", "1m", "99d", "request", "label",
                       "audit", "drift", "pair", "feedback", "mean", "p95", "higher", "if_action"])
)  # fmt: skip


@st.composite
def mistakes(draw):
    plain = copy.deepcopy(PLAIN)
    for path in draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=4)):
        try:
            place = at(plain, path[:-1])
            place[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue
        if not isinstance(place, dict | list):
            continue
        change = draw(st.sampled_from(["gone", "value", "elsewhere"]))
        if change == "gone":
            del place[path[-1]]
        elif change == "value":
            place[path[-1]] = draw(scalars | st.lists(scalars, max_size=3))
        else:
            place[path[-1]] = copy.deepcopy(at(PLAIN, draw(st.sampled_from(PATHS))))
    return plain


@settings(max_examples=examples(150))
@given(mistakes())
def test_every_mistake_is_a_finding(plain):
    report = lint(json.dumps(plain).encode(), name="r.json", model=MODEL)

    assert report.ok == all(each.level == "warning" for each in report.findings)
    assert (report.digest is not None) == report.ok
    assert all(each.reason for each in report.findings)
    assert len(report.metrics) == (len(plain["spec"]["metrics"]) if report.ok else 0)
