"""Whatever the server does: each event is settled once, and nothing is lost uncounted."""

import ctypes
import json
import socket
import threading
import time
from email.utils import formatdate

import penstock_client
import pytest
from penstock_client.http_transport import HttpTransport
from penstock_client.transport import Fate


def record(client, count=1, **fields):
    for index in range(count):
        assignment = client.assign(f"unit-{index}")
        client.record(assignment, **({"label": "7"} | fields))


def test_events_come_together_in_one_request(connect, remote):
    client = connect()

    record(client, 100)
    client.flush()

    assert len(remote.of("prediction")) == 100
    assert len(remote.requests) <= 3


def test_a_request_holds_at_most_a_thousand_events_and_a_mebibyte(connect, remote):
    client = connect()

    record(client, 1_500, text="x" * 2_000)
    client.flush()

    assert len(remote.of("prediction")) == 1_500
    for _, _, body in remote.requests:
        assert len(body.splitlines()) <= 1_000
        assert len(body) <= 1024 * 1024


def test_events_are_sent_without_being_asked_to(connect, remote, eventually):
    record(connect())

    eventually(lambda: remote.of("prediction") and remote.counts()["answered"] == 1)


def test_a_request_is_json_lines_with_the_key_and_is_packed_when_large(connect, remote):
    client = connect(key="ps_1_secret", url=remote.url + "/base/")

    record(client, 50)
    client.flush()

    path, headers, body = remote.requests[0]
    assert len(body) > 1024
    assert path == "/base/v1/events"
    assert headers["Authorization"] == "Bearer ps_1_secret"
    assert headers["Content-Type"] == "application/x-ndjson"
    assert headers["Content-Encoding"] == "gzip"


def test_one_connection_serves_many_requests(connect, remote):
    client = connect()
    ports = set()
    take = remote.answer

    def note_port(handler, events):
        ports.add(handler.client_address[1])
        take(handler, events)

    remote.answer = note_port
    for _ in range(5):
        record(client)
        client.flush()

    assert len(remote.requests) >= 5
    assert len(ports) == 1


def rejecting_once(remote, **verdict):
    """An answer that takes everything except, the first time, the event of unit-0."""
    met = []

    def answer(handler, events):
        refused = [i for i, e in enumerate(events) if e.get("unit_id") == "unit-0" and not met]
        met.extend(refused)
        remote.taken.extend(e for i, e in enumerate(events) if i not in refused)
        rejected = [{"index": i, "id": "p", "detail": "score is 2"} | verdict for i in refused]
        taken = len(events) - len(refused)
        handler.reply(202, {"accepted": taken, "duplicate": 0, "rejected": rejected})

    return answer


def test_a_rejected_event_is_counted_and_never_sent_again(connect, remote, caplog):
    client = connect()
    remote.answer = rejecting_once(remote, code="score_out_of_range", retryable=False)

    record(client, 3)
    client.flush()

    stats = client.stats()
    assert stats.rejected == 1
    assert stats.waiting == 0
    assert len(remote.of("prediction")) == 2
    assert [r for r in caplog.records if "score_out_of_range" in r.message]


def test_a_rejected_answer_is_among_the_dropped_of_its_arm(connect, remote):
    client = connect()
    remote.answer = rejecting_once(remote, code="score_out_of_range")

    record(client, 3)
    client.flush()
    client.close()

    assert remote.counts() == {"assigned": 3, "answered": 3, "dropped": 1}


def test_an_event_that_may_be_tried_again_is(connect, remote):
    client = connect()
    remote.answer = rejecting_once(remote, code="busy", retryable=True)

    record(client, 3)
    assert client.flush()

    assert len(remote.of("prediction")) == 3
    assert client.stats().rejected == 0


@pytest.mark.parametrize("code", [400, 413, 415, 422, 500])
def test_a_refused_request_is_lost_counted_and_reported_once(
    connect, remote, answers, caplog, code
):
    client = connect()
    remote.answer = answers["status"](code)

    for _ in range(3):
        record(client)
        client.flush()

    stats = client.stats()
    assert stats.waiting == 0
    assert stats.failures == 0
    assert stats.rejected >= 3
    assert len([r for r in caplog.records if f"refused with {code}" in r.message]) == 1


@pytest.mark.parametrize("code", [429, 502, 503, 504])
def test_a_busy_server_gets_every_event_once_it_can(connect, remote, answers, code):
    client = connect()
    takes, remote.answer = remote.answer, answers["status"](code)

    record(client, 20)
    assert not client.flush(0.3)
    remote.answer = takes
    assert client.flush()

    assert len(remote.of("prediction")) == 20
    assert client.stats().dropped == 0
    assert client.stats().failures >= 1


@pytest.mark.parametrize("manner", ["reset", "garbage", "captive"])
def test_an_answer_that_is_none_is_no_answer(connect, remote, answers, manner):
    client = connect()
    takes, remote.answer = remote.answer, answers[manner]

    record(client, 20)
    assert not client.flush(0.3)
    assert client.stats().waiting == 20
    remote.answer = takes
    assert client.flush()

    assert len({event["prediction_id"] for event in remote.of("prediction")}) == 20


@pytest.mark.parametrize("code", [401, 403, 404, 301])
def test_with_a_wrong_key_or_address_events_wait_and_people_are_told(
    connect, remote, answers, caplog, code
):
    limits = penstock_client.Limits(backoff_min_s=0.05, backoff_max_s=30, flush_ms=10)
    client = connect(key="ps_1_wrong", limits=limits)
    remote.answer = answers["status"](code)

    record(client, 20)
    client.flush(0.3)
    record(client, 20)
    time.sleep(0.2)

    assert client.stats().waiting == 40
    assert len(remote.requests) <= 2, "the next try is half a minute away"
    assert [r for r in caplog.records if f"server: {code}" in r.message]
    assert "ps_1_wrong" not in caplog.text


def test_retry_after_is_kept(connect, remote, answers):
    client = connect()
    takes, remote.answer = remote.answer, answers["status"](503, Retry_After="0.5")

    record(client)
    began = time.monotonic()
    client.flush(0.1)
    remote.answer = takes
    while not remote.of("prediction"):
        time.sleep(0.01)

    assert time.monotonic() - began > 0.4


@pytest.mark.parametrize(
    ("header", "least_s", "most_s"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("-5", 0, 0),
        ("nan", 0, 0),
        ("999999999", 600, 600),
        (formatdate(4_000_000_000, usegmt=True), 600, 600),
        (formatdate(1_000_000_000, usegmt=True), 0, 0),
        ("next week", None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_ten_minutes(
    remote, answers, header, least_s, most_s
):
    remote.answer = answers["status"](503, Retry_After=header)
    transport = HttpTransport(remote.url, key=None, timeout_s=5, ca_file=None)

    reply = transport.post([b"{}"])
    transport.close()

    assert reply.fate is Fate.LATER
    if least_s is None:
        assert reply.wait_s is None
    else:
        assert least_s <= reply.wait_s <= most_s


def test_waits_grow_and_differ_between_services(connect):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        client = connect(
            url=f"http://127.0.0.1:{nobody.getsockname()[1]}",
            limits=penstock_client.Limits(backoff_min_s=0.1, backoff_max_s=60, flush_ms=10),
        )
        record(client)
        time.sleep(1)

    assert 2 <= client.stats().failures <= 5, "0.1, 0.2, 0.4 s and up to half as long again"


def test_a_server_that_closes_idle_connections_costs_no_wait(connect, remote):
    limits = penstock_client.Limits(backoff_min_s=30, backoff_max_s=60, flush_ms=10)
    client = connect(limits=limits)
    takes = remote.answer

    def then_close(handler, events):
        takes(handler, events)
        handler.close_connection = True  # without saying so

    remote.answer = then_close
    for _ in range(3):
        record(client)
        assert client.flush()
        time.sleep(0.05)

    assert client.stats().failures == 0


def test_a_slow_server_holds_up_nobody_but_the_sender(connect, remote, answers):
    client = connect()
    remote.answer = answers["slow"](1.0)

    record(client)
    time.sleep(0.1)
    began = time.monotonic()
    record(client, 200)

    assert time.monotonic() - began < 0.9
    assert client.flush()
    assert len(remote.of("prediction")) == 201


def test_a_full_buffer_drops_whole_units_and_counts_them(connect, remote, answers):
    limits = penstock_client.Limits(
        backoff_min_s=0.05, backoff_max_s=0.2, flush_ms=10, buffer_bytes=100_000
    )
    client = connect(limits=limits)
    takes, remote.answer = remote.answer, answers["status"](503)

    for index in range(2_000):
        assignment = client.assign(f"unit-{index % 100}")
        client.record(assignment, label="7")
        client.label(prediction_id=assignment.prediction_id, label="7")
    assert client.stats().kept_share < 0.5
    remote.answer = takes
    assert client.flush()
    client.close()

    stats = client.stats()
    assert stats.recorded == 4_000
    assert stats.dropped + len(remote.of("prediction")) + len(remote.of("label")) == 4_000
    counts = remote.counts()
    assert counts["assigned"] == counts["answered"] == 2_000
    assert counts["answered"] - counts["dropped"] == len(remote.of("prediction"))
    answered = {event["prediction_id"] for event in remote.of("prediction")}
    labelled = {event["prediction_id"] for event in remote.of("label")}
    assert len(answered ^ labelled) <= 1, "an answer and its label are kept or dropped together"


def test_while_the_server_is_away_events_wait_on_disk(
    connect, remote, answers, tmp_path, eventually
):
    client = connect(spool_dir=tmp_path / "spool")
    takes, remote.answer = remote.answer, answers["status"](503)

    record(client, 500)
    eventually(lambda: client.stats().spooled_bytes > 50_000 and client.stats().waiting == 0)
    remote.answer = takes
    assert client.flush()

    assert len({event["prediction_id"] for event in remote.of("prediction")}) == 500
    assert client.stats().spooled_bytes == 0
    client.close()
    assert list((tmp_path / "spool").iterdir()) == []


def test_counts_are_said_again_only_when_they_changed(connect, remote):
    client = connect()
    record(client, 5)
    client.flush()
    said = len(remote.of("assigned"))

    client.label(prediction_id="p-7", label="dog")
    client.flush()

    assert len(remote.of("assigned")) == said
    assert remote.counts() == {"assigned": 5, "answered": 5, "dropped": 0}


def test_a_version_that_never_answers_cannot_hide(connect, remote):
    client = connect()

    for index in range(5):
        client.assign(f"unit-{index}")
    client.flush()

    assert remote.counts() == {"assigned": 5, "answered": 0, "dropped": 0}


def test_only_live_answers_count_as_answers(connect, remote):
    client = connect()
    assignment = client.assign()

    client.record(assignment, label="7", role="proposed")
    client.record(assignment, label="7", role="shadow", version="42")
    client.flush()

    assert remote.counts() == {"assigned": 1, "answered": 0, "dropped": 0}


def test_many_threads_lose_nothing(connect, remote):
    client = connect()
    threads = [threading.Thread(target=record, args=(client, 500)) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush()

    assert len({event["prediction_id"] for event in remote.of("prediction")}) == 4_000
    assert remote.counts() == {"assigned": 4_000, "answered": 4_000, "dropped": 0}
    assert client.stats().accepted == len(remote.taken)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_sender_starts_again_after_it_died(connect, remote, eventually):
    client = connect()
    record(client)
    client.flush()
    time.sleep(0.1)  # it rests, and holds no lock
    [sender] = [t for t in threading.enumerate() if t.name == "penstock-client"]

    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(sender.ident), ctypes.py_object(SystemExit)
    )
    record(client)
    eventually(lambda: not sender.is_alive())
    record(client)
    assert client.flush()

    assert len({event["prediction_id"] for event in remote.of("prediction")}) == 3


def test_the_client_says_what_it_has_done(connect, remote):
    client = connect()
    record(client, 10)
    client.flush()

    stats = client.stats()

    assert (stats.recorded, stats.waiting, stats.dropped, stats.invalid) == (10, 0, 0, 0)
    assert stats.accepted == len(remote.taken)
    assert stats.requests == len(remote.requests)
    assert stats.counts_lasting
    assert stats.last_fault is None
    with pytest.raises(AttributeError):
        stats.recorded = 0
    assert json.loads(remote.requests[0][2].splitlines()[0])["model"] == "digits"
