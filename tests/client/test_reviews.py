"""A proposed answer is acted on when a person confirmed it; in every other case the champion's."""

import threading
import time

import pytest
from penstock_client import Assignment, Limits, Review, reviews

ASKED = Assignment(
    prediction_id="p-1", version="42", arm="42", route="default", route_version=3, confirm=True
)
CHAMPION = "41"
EXTRA = {"id": "r", "deadline_ms": 1, "version": "42", "later": "unknown fields are no harm"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Nobody waits long after a failure."""
    monkeypatch.setattr(reviews, "_PAUSE_S", (0.02, 0.1))


class Desk:
    """Answers each poll with the next of these; the last one for ever."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def __call__(self, handler):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        match answer:
            case "gone":
                handler.connection.close()
                handler.close_connection = True
            case int():
                handler.reply(answer, {"title": "a problem"})
            case bytes():
                handler.reply(200, answer)
            case str():
                handler.reply(200, EXTRA | {"state": answer})
            case _:
                handler.reply(200, EXTRA | answer)


def reviewed(connect, remote, *answers, timeout_s=5.0, **given):
    remote.route = Desk(*answers)
    return connect(**given).review(ASKED, timeout_s=timeout_s)


def test_a_confirmed_answer_is_acted_on(connect, remote):
    said = {"state": "confirmed", "by": "ann", "reason": "right", "label": None}

    assert reviewed(connect, remote, said) == Review("confirmed", "42", "ann", "right", None)
    [(path, headers)] = remote.polls
    assert path.startswith("/v1/reviews/of/digits?prediction_id=p-1&wait=")
    assert "Authorization" not in headers


@pytest.mark.parametrize("state", ["refused", "timed-out", "withdrawn"])
def test_the_champions_answer_is_acted_on_when_it_is(connect, remote, state):
    found = reviewed(connect, remote, {"state": state, "label": "7"})

    assert (found.state, found.version, found.confirmed, found.label) == (
        state, CHAMPION, False, "7",
    )  # fmt: skip


def test_it_is_asked_again_while_the_server_says_nothing_that_holds(connect, remote):
    before = ("open", 404, 503, 500, "gone", b"<html>", b"[]", "gone", "later than us")

    assert reviewed(connect, remote, *before, "confirmed").confirmed
    assert len(remote.polls) == len(before) + 1


@pytest.mark.parametrize("answer", ["open", 404, 403, "gone"])
def test_after_its_time_the_champions_answer_is_acted_on(connect, remote, answer):
    began_s = time.monotonic()

    found = reviewed(connect, remote, answer, timeout_s=0.4)

    assert (found.state, found.version) == ("away", CHAMPION)
    assert 0.4 <= time.monotonic() - began_s < 10


def test_a_server_that_hangs_holds_nobody_longer_than_there_is_time(connect, remote):
    held = threading.Event()
    remote.route = lambda _handler: held.wait(60)
    began_s = time.monotonic()

    found = connect().review(ASKED, timeout_s=0.3)

    held.set()
    assert (found.state, found.version) == ("away", CHAMPION)
    assert time.monotonic() - began_s < 30


def test_where_no_server_is_asked_the_champion_acts_at_once(connect):
    client = connect(url="http://127.0.0.1:9")
    client._reviews._server = None

    assert client.review(ASKED, timeout_s=60).state == "away"


def test_an_assignment_that_needs_nobody_asks_nobody(connect, remote):
    client = connect()

    found = client.review(client.assign("u"), timeout_s=60)

    assert (found.state, found.version, found.confirmed) == ("not-needed", CHAMPION, True)
    assert not [path for path, _ in remote.polls if "reviews" in path]


def test_after_an_outage_a_proposed_answer_arrives_at_once_and_so_does_what_a_person_said(
    connect, returning, eventually, monkeypatch
):
    monkeypatch.undo()  # these pauses are measured
    url, come_back = returning
    limits = Limits(backoff_min_s=40, backoff_max_s=60, flush_ms=10)
    client = connect(url=url, limits=limits)
    client.record(ASKED, label="7", role="proposed")
    eventually(lambda: client.stats().failures)  # the next try is due in 40 seconds
    told = []
    waiting = threading.Thread(target=lambda: told.append(client.review(ASKED, timeout_s=30)))
    waiting.start()
    eventually(lambda: client.stats().failures >= 3)  # while somebody waits, each second

    server = come_back()
    began_s = time.monotonic()

    def said(handler):
        state = "confirmed" if server.of("prediction") else "open"
        handler.reply(200, EXTRA | {"state": state})

    server.route = said
    waiting.join()

    assert told[0].confirmed
    assert time.monotonic() - began_s < 5  # two tries, each after a second and a half at most


def test_a_wait_that_the_server_asks_for_is_kept_though_somebody_waits(connect, remote, answers):
    remote.answer = answers["status"](503, Retry_After="30")
    remote.route = Desk(404)
    client = connect()
    client.record(ASKED, label="7", role="proposed")

    assert client.review(ASKED, timeout_s=1.8).state == "away"

    assert client.stats().failures == 1


@pytest.mark.parametrize("timeout_s", [None, "soon", float("nan")])
def test_a_time_that_is_none_raises_nothing(connect, remote, timeout_s):
    assert reviewed(connect, remote, "open", timeout_s=timeout_s).version == CHAMPION


def test_a_client_that_is_closed_waits_no_longer(connect, remote):
    remote.route = Desk("open")
    client = connect()
    threading.Timer(0.2, client.close).start()
    began_s = time.monotonic()

    assert client.review(ASKED, timeout_s=60).state == "away"
    assert time.monotonic() - began_s < 30
