"""An exported rollout proves itself, and whatever is touched in it has a name."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.exporting import export
from penstock.migrations import upgrade
from penstock.rollouts import Store
from rollout import kept, store
from rollout.acting import Ask, decide
from rollout.controller import tick
from rollout.courses import Kind, Place
from rollout.decisions import GENESIS, Decision, Evidence, Person, Time, canonical, sealed
from rollout.judge import Record, judge
from rollout.knowledge import facts
from rollout.looks import digest
from rollout.opening import freeze
from rollout.seals import opened
from rollout.seals import sealed as sealed_file
from rollout.spec import read
from rollout.stages import Signal
from rollout.verifying import differences, verified
from streams.db.clock import Clock
from streams.db.engine import connect, reading, writing
from streams.errors import InputError
from tests.rollout.looking import NAME, SPEC, seen
from tests.rollout.test_watching import MODEL
from tests.streams import spine

HOUR = 3_600_000
ANN = Person(name="ann", reason="it is time", via="cli")


class Text(bytes):
    """A file that is not printed whole when a test fails."""

    def __repr__(self):
        return f"<{len(self)} bytes>"


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A rollout that evidence took a step on and then back, as a file."""
    folder = tmp_path_factory.mktemp("export")
    url = f"sqlite:///{folder / 'a.db'}"
    upgrade(url)
    engine = connect(url)
    spine.prepare(engine, [(MODEL, spine.T0)])
    with writing(engine) as connection:
        store.create(connection, read(SPEC)[0], reason="r", now_ms=spine.T0, by="ann")
    now_ms = spine.T0
    for signal in (Signal.PLAN, Signal.START, Signal.PAUSE, Signal.RESUME):
        wanted = Ask(rollout=NAME, signal=signal, cause=ANN)
        decide(engine, wanted, now_ms=now_ms, wall_ms=now_ms, freezing=freeze)
    for errors in ((100, 25), (100, 800)):
        now_ms += HOUR
        look = seen(engine, of=2_000, errors=errors, at_ms=now_ms)
        with reading(engine) as connection:
            standing = store.standing(connection, NAME)
        known = facts(look.record, standing.state, standing.declared.spec, fresh_ms=now_ms)
        tick(engine, NAME, known, now_ms=now_ms, wall_ms=now_ms, freezing=freeze)
    path = folder / "export.jsonl"
    found = export(Store(engine, Clock()), NAME, path)
    assert (found.decisions, found.looks) == (6, 2)
    engine.dispose()
    return Text(path.read_bytes())


def resealed(text, kind, number, edit):
    """The file as somebody would leave it who edits a line and makes the seal anew."""
    parts = []
    for part in opened(text):
        body = json.loads(part.body)
        if part.kind == kind and body.get("seq", body.get("no")) == number:
            edit(body)
        spaced = msgspec.json.encode(body, order="sorted" if part.kind == "decision" else None)
        parts.append((part.kind, spaced))
    return sealed_file(parts)


def rehashed(text, number, **changes):
    """The same, with the chain of decisions made anew from this one on."""
    parts, head = [], GENESIS
    for part in opened(text):
        body = part.body
        if part.kind == "decision":
            made = msgspec.json.decode(body, type=Decision)
            if made.seq == number:
                made = msgspec.structs.replace(made, **changes)
            made = sealed(msgspec.structs.replace(made, previous=head))
            head, body = made.hash, canonical(made)
        parts.append((part.kind, body))
    return sealed_file(parts)


def decision(text, number):
    bodies = (part.body for part in opened(text) if part.name == f"decision {number}")
    return msgspec.json.decode(next(bodies), type=Decision)


def test_a_file_proves_its_chain_its_looks_and_their_verdicts(text):
    found = verified(text)

    assert (found.rollout, found.stage, found.head) == (
        NAME, Kind.ROLLING_BACK, decision(text, 6).hash,
    )  # fmt: skip
    assert (found.revisions, found.decisions, found.looks, found.verdicts) == (1, 6, 2, 2)
    assert [decision(text, k).signal for k in (5, 6)] == [Signal.ADVANCE, Signal.HARM]


def test_a_file_of_an_earlier_release_still_proves_itself():
    """Written when floors counted audits of pairs that nobody looked at: by today's it stayed."""
    stored = Path(__file__).parent / "exports" / "unseen-pairs-are-equal.jsonl"

    found = verified(stored.read_bytes())

    assert (found.stage, found.decisions, found.looks) == (Kind.DONE, 5, 3)


@given(data=st.data())
def test_any_flipped_byte_is_named_by_its_line(text, data):
    at = data.draw(st.integers(0, len(text) - 1))
    flipped = bytearray(text)
    flipped[at] ^= data.draw(st.integers(1, 255))
    line = text[:at].count(b"\n")
    names = [*(part.name for part in opened(text)), "seal"]

    with pytest.raises(InputError) as told:
        verified(bytes(flipped))

    assert told.value.message.startswith(names[line])
    assert told.value.line == line + 1


@pytest.mark.parametrize("field", ["reason", "at_ms", "to", "hash"])
def test_a_byte_within_a_field_is_named_by_the_field(text, field):
    start = text.index(b'"seq":3')
    begin = text.rindex(b'{"decision"', 0, start)
    at = text.index(f'"{field}":'.encode(), begin) + len(field) + 5
    wanted = "cause" if field == "reason" else field
    flipped = bytearray(text)
    flipped[at] ^= 1  # a letter or a digit becomes its neighbour

    with pytest.raises(InputError, match=f"^decision 3, {wanted}: it was changed"):
        verified(bytes(flipped))


def raised(totals):
    cells = totals["rollout/2/0/-1"]
    cells[0] += 1
    cells[1] += 1


TAMPERED = {
    "a count": ("look", 6, lambda body: raised(body["record"]["look"]["totals"]), "look 6, digest"),
    "a verdict": ("look", 6, lambda body: body["record"]["judged"][0].update(verdict="safe"),
                  r"look 6, record.judged\[0\].verdict"),
    "an interval": ("look", 6, lambda body: body["record"]["judged"][0].update(lower=-0.5),
                    r"look 6, record.judged\[0\].lower"),
    "a parameter": ("look", 6, lambda body: body["record"]["look"]["epochs"][0].update(alpha=0.5),
                    "look 6"),
    "a shape": ("look", 6, lambda body: body["record"]["look"]["totals"]["rollout/2/0/-1"].pop(),
                "look 6, record"),
    "a word": ("look", 6, lambda body: body["record"]["judged"][0].update(verdict="fine"),
               "look 6, record"),
    "a reason": ("decision", 3, lambda body: body["cause"].update(reason="no"), "decision 3, hash"),
    "a spec": ("revision", 1, lambda body: body["spec"]["spec"].update(blindAfter="9h"),
               "revision 1, digest"),
    "a name": ("rollout", None, lambda body: body.update(rollout="other"), "decision 1, rollout"),
    "a format": ("rollout", None, lambda body: body.update(format=2), "rollout, format"),
}  # fmt: skip


@pytest.mark.parametrize("case", TAMPERED)
def test_who_seals_anew_what_was_edited_is_found_out(text, case):
    kind, number, edit, place = TAMPERED[case]

    with pytest.raises(InputError, match=f"^{place}"):
        verified(resealed(text, kind, number, edit))


def test_who_makes_the_whole_chain_anew_is_held_against_the_looks_and_the_rules(text):
    harm = decision(text, 6)
    assert isinstance(harm.cause, Evidence)
    (judged,) = harm.cause.verdicts
    milder = msgspec.structs.replace(judged, estimate=0.01)
    cause = msgspec.structs.replace(harm.cause, verdicts=(milder,))
    cases = {
        r"decision 6, cause.verdicts\[0\].estimate": {"cause": cause},
        "decision 6, to": {"after": decision(text, 3).after},
        "decision 6, signal": {"signal": Signal.INVALID, "after": Place(Kind.PAUSED, 1)},
        "decision 6, revision": {"revision": "sha256:" + "0" * 64},
    }
    for place, changes in cases.items():
        with pytest.raises(InputError, match=f"^{place}"):
            verified(rehashed(text, 6, **changes))


def test_evidence_of_harm_is_never_forgotten(text):
    def forget(body):
        record = msgspec.convert(body["record"], Record)
        look = msgspec.structs.replace(record.look, peaks={})
        body |= {"record": msgspec.to_builtins(judge(look)), "digest": digest(look)}

    with pytest.raises(InputError, match=r"^look 6, record.look.peaks"):
        verified(resealed(text, "look", 6, forget))


def test_a_time_is_held_against_the_spec(text):
    early = Time(due_ms=spine.T0 + HOUR, reasons=("the deadline of canary is over: 4d",))
    changes = {"signal": Signal.DEADLINE, "cause": early}

    with pytest.raises(InputError, match=r"^decision 6, cause.due_ms: the time was not over"):
        verified(rehashed(text, 6, **changes))


def test_a_look_that_is_cited_must_be_there(text):
    parts = [(part.kind, part.body) for part in opened(text) if part.name != "look 5"]

    with pytest.raises(InputError, match=r"^decision 5, cause: the look that it cites is not"):
        verified(sealed_file(parts))


@pytest.mark.parametrize("other", [b"", b"\n", b"{}\n", b"no JSON\n", b'{"seal":{}}\n'])
def test_what_is_no_export_is_said(other):
    with pytest.raises(InputError, match=r"^(seal|rollout)"):
        verified(other)


@given(st.floats(1e-6, 1e6), st.floats(-1e-10, 1e-10))
@example(0.0, 0.0)
def test_floats_may_differ_in_their_last_bits_and_words_and_counts_not(value, off):
    assert list(differences({"a": [value]}, {"a": [value * (1 + off)]}, "x")) == []
    wrong = list(differences({"a": [value, "b", 3]}, {"a": [value * 1.001 + 1e-5, "c", 4]}, "x"))
    assert [place for place, _, _ in wrong] == ["x.a[0]", "x.a[1]", "x.a[2]"]


def test_a_kept_look_is_what_was_judged(text):
    bodies = [json.loads(part.body) for part in opened(text) if part.kind == "look"]

    assert all(
        judged["snapshot"] == body["digest"]
        for body in bodies
        for judged in body["record"]["judged"]
    )
    assert kept.NEWEST not in [body["seq"] for body in bodies]
