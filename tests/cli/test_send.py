"""`penstock send` against a running installation."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.cli.conftest import free_port, lines, prediction


def report(done):
    return json.loads(done.stdout)


@pytest.fixture
def events(tmp_path):
    """A file of 2,500 events, so that it takes three batches."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(lines(*[prediction(k) for k in range(2_500)]))
    return path


def test_a_file_is_announced_sent_and_summed_up(up, events):
    done = up.run("send", str(events), "-o", "json")

    assert done.returncode == 0
    assert f"2,500 lines, {events.stat().st_size:,} bytes" in done.stderr.decode()
    assert report(done) | {"rate_per_s": 0} == {
        "read": 2500, "accepted": 2500, "rejected": 0, "by_code": {}, "first_rejected": [],
        "done_to_line": 2500, "interrupted": False, "rate_per_s": 0,
    }  # fmt: skip


def test_gzip_and_stdin_are_read_alike(up, events, tmp_path):
    packed = tmp_path / "events.jsonl.gz"
    packed.write_bytes(gzip.compress(events.read_bytes()))

    assert report(up.run("send", str(packed), "-o", "json"))["accepted"] == 2500
    piped = up.run("send", "-", "-o", "json", stdin=events.read_bytes())
    assert report(piped)["accepted"] == 2500


def test_bad_lines_are_told_by_their_number_and_the_rest_is_kept(up, tmp_path):
    path = tmp_path / "events.jsonl"
    good = lines(prediction(1)).strip()
    bad_score = lines(prediction(2, output={"score": 1.2})).strip()
    long = lines(prediction(3, output={"label": "x" * 40_000})).strip()
    path.write_bytes(b"\n".join([good, b"", b"not json", bad_score, long, b"[1, 2]", good]))

    done = up.run("send", str(path), "-o", "json")

    said = report(done)
    assert (done.returncode, said["accepted"], said["rejected"]) == (1, 2, 4)
    told = {refusal["line"]: refusal["code"] for refusal in said["first_rejected"]}
    assert set(told) == {3, 4, 5, 6}
    assert (told[3], told[5]) == ("malformed_json", "oversized_event")


@pytest.mark.parametrize(
    "first", [b"[1, 2]", b'{"penstock":1,"count":0}', b"[" * 3000, b"\xff\xfe", b"{"]
)
def test_a_first_line_that_is_no_event_costs_no_other(up, tmp_path, first):
    path = tmp_path / "events.jsonl"
    path.write_bytes(first + b"\n" + lines(*[prediction(k) for k in range(20)]))

    said = report(up.run("send", str(path), "-o", "json"))

    assert (said["accepted"], [r["line"] for r in said["first_rejected"]]) == (20, [1])


def test_a_file_without_one_event_ends_with_every_line_refused(up, tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"nothing\n" * 1_500)

    done = up.run("send", str(path), "-o", "json")

    assert (done.returncode, report(done)["by_code"]) == (1, {"malformed_json": 1500})


def test_sending_goes_on_from_a_line(up, events):
    done = up.run("send", str(events), "--from-line", "2001", "-o", "json")

    assert report(done)["read"] == 500


def test_ctrl_c_says_where_it_stopped_and_what_next(up, tmp_path):
    """The reader of a fifo that stays open waits, like a terminal does."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "penstock.cli.main", "send", "-", "--server", up.url]
    with open(os.open(fifo, os.O_RDWR), "wb", buffering=0) as feed, fifo.open("rb") as end:
        process = subprocess.Popen(
            command, stdin=end, env=up.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for start in range(0, 1500, 100):
            feed.write(lines(*[prediction(k) for k in range(start, start + 100)]))
        time.sleep(2)

        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert process.returncode == 130
    assert "accepted    1000" in out.decode()
    assert "penstock send - --from-line 1001" in err.decode()


def test_without_a_server_it_says_so_and_what_next(penstock, events):
    said = penstock("send", str(events), "--server", f"http://127.0.0.1:{free_port()}")

    assert said.code == 1
    assert "no Penstock answers" in said.err
    assert "penstock up" in said.err


def test_a_file_that_is_missing_or_broken_is_an_error(penstock, events, tmp_path):
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(events.read_bytes())[:-200])

    for name in (str(tmp_path / "none"), str(cut), str(tmp_path)):
        assert penstock("send", name).code == 1


def test_a_wrong_key_is_not_allowed(up, events):
    done = up.run("send", str(events), "--key", "ps_none_none")

    assert done.returncode == 4
    assert "next:" in done.stderr.decode()


def test_without_a_server_named_the_installation_of_the_settings_is_meant(penstock, monkeypatch):
    port = free_port()
    monkeypatch.setenv("PENSTOCK_PORT", str(port))

    refused = penstock("send", "-")

    assert refused.code == 1
    assert f"http://127.0.0.1:{port}" in refused.err
