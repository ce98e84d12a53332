"""penstock rollout: from a draft to its end, over the store alone."""

from datetime import UTC, datetime

import pytest

from tests.rollout.examples import FOLDER, GONE, edited

SPEC, MODEL = FOLDER / "rollout.yaml", FOLDER / "model.yaml"
WHY = ("--reason", "it is time", "-y")
PASSED = [
    text
    for name in ("disagreement", "defects", "errors", "misses")
    for text in ("--override", name)
]


@pytest.fixture
def fraud(installed, monkeypatch):
    """An installation that knows the example's model and versions; `ann` is at the keyboard."""
    monkeypatch.setenv("LOGNAME", "ann")
    installed("model", "register", "-f", str(MODEL))
    for label in ("41", "42"):
        installed("model", "add-version", "fraud-scorer", label, "--digest", label[-1] * 64)
    return installed


@pytest.fixture
def spec(tmp_path):
    """Writes the example with these changes, and with metrics that need no history.

    It has no freeze, so that no test depends on the weekday.
    """

    def write(*changes):
        path = tmp_path / "rollout.yaml"
        path.write_bytes(
            edited(
                ("attestation", "none"), ("freeze", GONE), ("metrics.latency", GONE),
                ("guardrails", ["errors", "defects"]),
                ("stages.shadow.shadow.require", ["disagreement", "defects"]), *changes,
            )
        )  # fmt: skip
        return str(path)

    return write


@pytest.fixture
def live(fraud, spec):
    """The example in its first stage."""
    assert fraud("rollout", "create", spec()).code == 0
    assert fraud("rollout", "start", "fraud-42", *WHY).code == 0
    return fraud


def test_a_draft_is_made_shown_and_listed(fraud, spec):
    made = fraud("rollout", "create", spec(), "-o", "json")
    shown = fraud("rollout", "get", "fraud-42")
    listed = fraud("rollout", "list")

    assert (made.code, made.json["stage"], made.json["seq"]) == (0, "draft", 0)
    assert "canary[2]" in shown.out
    assert listed.out.splitlines()[1].split()[:4] == [
        "fraud-42", "fraud-scorer", "checkout", "draft",
    ]  # fmt: skip


def test_what_has_not_begun_is_started_not_promoted(fraud, spec):
    fraud("rollout", "create", spec())

    said = fraud("rollout", "promote", "fraud-42", *WHY)

    assert said.code == 3
    assert "next:  penstock rollout start fraud-42" in said.err


def test_what_lint_calls_an_error_is_no_draft(fraud, spec):
    said = fraud("rollout", "create", spec(("challengers.0.version", "43")))

    assert said.code == 1
    assert "has no version '43'" in said.err
    assert "next:  penstock rollout lint" in said.err
    assert fraud("rollout", "list", "-o", "json").json == []


def test_a_rollout_goes_to_full_weight_by_hand_and_its_log_says_who_and_why(live, monkeypatch):
    for _ in range(5):
        assert live("rollout", "promote", "fraud-42", *PASSED, *WHY).code == 0
    early = live("rollout", "promote", "fraud-42", *WHY)
    refused = live("rollout", "approve", "fraud-42", *WHY)
    monkeypatch.setenv("LOGNAME", "risk-oncall")
    live("rollout", "approve", "fraud-42", *WHY)
    for _ in range(3):
        said = live("rollout", "promote", "fraud-42", *PASSED, *WHY, "-o", "json")

    assert (early.code, refused.code) == (3, 4)
    assert "0 of 1 signatures, from risk-oncall" in early.err
    assert "'ann' cannot sign this approval" in refused.err
    assert (said.json["stage"], said.json["weight"]) == ("done", 100)
    log = live("rollout", "log", "fraud-42", "-o", "json").json
    assert [line["signal"] for line in log[:3]] == ["plan", "start", "advance"]
    assert {line["who"] for line in log} == {"ann", "risk-oncall"}
    assert log[-1]["because"] == "it is time"


def test_what_is_not_proven_is_passed_over_by_name_or_not_at_all(live):
    refused = live("rollout", "promote", "fraud-42", *WHY)
    half = live("rollout", "promote", "fraud-42", "--override", "defects", *WHY)
    unknown = live("rollout", "promote", "fraud-42", "--override", "defect", *WHY)

    assert [said.code for said in (refused, half, unknown)] == [3, 3, 1]
    assert "disagreement: 42: not yet known, there is no data" in refused.err
    assert "--override disagreement --override defects" in refused.err
    assert "defects" not in half.err
    assert "'defect' is no metric of fraud-42" in unknown.err
    assert live("rollout", "get", "fraud-42", "-o", "json").json["stage"] == "shadow"


def test_a_pause_and_a_way_back(live):
    live("rollout", "promote", "fraud-42", *PASSED, *WHY)
    paused = live("rollout", "pause", "fraud-42", *WHY, "-o", "json").json
    resumed = live("rollout", "resume", "fraud-42", *WHY, "-o", "json").json
    back = live("rollout", "rollback", "fraud-42", "--reason", "latency", "-y", "-o", "json").json
    again = live("rollout", "rollback", "fraud-42", "--reason", "latency", "-y", "-o", "json").json

    assert (paused["stage"], paused["weight"]) == ("paused", 1)
    assert (resumed["stage"], back["stage"]) == ("supervised", "rolling-back")
    assert (back["weight"], back["last"]) == (0, "rollback by ann: latency")
    assert again["seq"] == back["seq"]


def test_nothing_is_decided_without_an_answer_or_a_reason(live):
    unasked = live("rollout", "pause", "fraud-42", "--reason", "x")
    unreasoned = live("rollout", "pause", "fraud-42", "-y")
    blank = live("rollout", "pause", "fraud-42", "-y", "--reason", " ")

    assert (unasked.code, unreasoned.code, blank.code) == (3, 2, 2)
    assert live("rollout", "get", "fraud-42", "-o", "json").json["stage"] == "shadow"


def test_a_second_rollout_on_the_route_is_refused_by_name(live, spec):
    path = spec(("metadata.name", "again"))
    live("rollout", "create", path)

    said = live("rollout", "start", "again", *WHY)

    assert said.code == 5
    assert "has a live rollout: fraud-42" in said.err


def test_an_edit_that_loosens_needs_a_second_person(live, spec, monkeypatch):
    looser = spec(("blindAfter", "30m"))

    edit = live("rollout", "edit", looser, "--reason", "nights are quiet")
    own = live("rollout", "approve", "fraud-42", "--revision", "2", *WHY)
    monkeypatch.setenv("LOGNAME", "bob")
    held = live("rollout", "approve", "fraud-42", "--revision", "2", *WHY, "-o", "json")

    assert edit.code == 0
    assert "penstock rollout approve fraud-42 --revision 2" in edit.err
    assert own.code == 4
    assert (held.json["revision"], held.json["waiting_revision"]) == (2, None)


def test_a_freeze_holds_who_goes_on_and_never_who_goes_back(fraud, spec):
    now = datetime.now(UTC)
    cron = f"{now.minute} {now.hour} {now.day} {now.month} *"
    fraud("rollout", "create", spec(("freeze", [{"cron": cron, "for": "2h"}])))

    held = fraud("rollout", "start", "fraud-42", *WHY)
    begun = fraud("rollout", "start", "fraud-42", "--in-freeze", *WHY)
    held_again = fraud("rollout", "promote", "fraud-42", *WHY)
    back = fraud("rollout", "rollback", "fraud-42", *WHY)

    assert [said.code for said in (held, begun, held_again, back)] == [3, 0, 3, 0]
    assert "is in a freeze for" in held.err
    assert "--in-freeze" in held.err


def test_a_rollout_that_is_not_there_is_said(live):
    said = live("rollout", "get", "none")

    assert said.code == 1
    assert "penstock rollout list" in said.err
