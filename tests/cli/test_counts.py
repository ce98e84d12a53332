"""`penstock events counts`: what was counted, by name."""

import json

from tests.cli.conftest import lines, prediction
from tests.penstock.test_supervisor import eventually


def counted(up, *options: str) -> list[dict]:
    return json.loads(
        up.run("events", "counts", "--model", "counts", "-o", "json", *options).stdout
    )


def test_answers_pairs_and_outcomes_are_shown_by_version_and_role(up):
    truth = {"type": "io.penstock.label.v1", "model": "counts", "label_id": "l-0", "label": "ham"}
    sent = [prediction(k, model="counts", latency_ms=4) for k in range(5)]
    sent += [prediction(0, model="counts", version="v2", role="shadow", output={"label": "ham"})]
    sent += [truth | {"prediction_id": "p-0", "time": sent[0]["time"]}]
    assert up.run("send", "-", stdin=lines(*sent)).returncode == 0

    assert eventually(lambda: len(counted(up)) == 2 and counted(up)[0]["labelled"] == 1, 10)

    live, shadow = counted(up)
    assert (live["version"], live["role"], live["answered"], live["wrong"]) == ("v1", "live", 5, 1)
    assert 3.3 < live["p50_ms"] < 4.8
    assert (shadow["paired"], shadow["disagreed"], shadow["right"]) == (1, 1, 1)
    assert counted(up, "--since", "1h") == counted(up)


def test_a_wrong_age_is_refused_with_the_rule(up):
    refused = up.run("events", "counts", "--since", "soon")

    assert refused.returncode == 1
    assert b"'soon' is not a duration" in refused.stderr
    assert b"next:  write it like 14d, 6h" in refused.stderr
