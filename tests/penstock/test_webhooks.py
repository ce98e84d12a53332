"""Webhooks by real sockets: what is decided arrives, whatever receivers and processes do."""

import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from penstock.installation import opened, prepare
from penstock.listening import Listening
from penstock.outbound.fetcher import Fetcher
from penstock.outbound.rules import read_rules
from penstock.settings import Settings
from penstock.webhooks import keeping
from penstock.webhooks.attempts import attempt
from penstock.webhooks.delivering import CLAIM_MS, Deliverer
from penstock.webhooks.telling import Teller
from rollout import editing, reviews
from rollout.acting import Ask, decide
from rollout.decisions import Person
from rollout.proposals import Asked
from rollout.reviews import Saying, State
from rollout.stages import Signal
from streams import deliveries, webhooks
from streams.db.engine import reading, writing
from streams.errors import ConflictError, InputError, UnavailableError
from streams.relay import Relay
from streams.topics import DECISIONS
from tests.cli.conftest import free_port
from tests.penstock.receivers import CERTIFICATE, Receiver, says
from tests.penstock.test_supervisor import eventually
from tests.rollout.test_acting import declared

ANN = Person(name="ann", reason="it is time")
RULES = read_rules(prefixes="http://", networks="127.0.0.0/8")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder that holds an installation, to copy."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare(Settings(data_dir=folder, partitions=2))
    return folder


@pytest.fixture
def here(prepared, tmp_path):
    folder = shutil.copytree(prepared, tmp_path / "data")
    with opened(Settings(data_dir=folder, partitions=2)) as here:
        yield here


@pytest.fixture
def receiving():
    """Starts receivers, and ends them."""
    started = []

    def start(*script, **given):
        started.append(Receiver(*script, **given))
        return started[-1]

    yield start
    for each in started:
        each.close()


class Sending:
    """What control does about webhooks, step by step: relay, subscription, deliverer."""

    def __init__(self, here, *, patience_s=2.0):
        self.here, self.engine = here, here.engine
        self.fetcher = Fetcher(RULES, patience_s=patience_s)
        self.relay = Relay(here.log, here.engine, owner="c", clock=here.clock)
        self.heard = Listening(
            here, DECISIONS, consumer="webhooks", owner="c", handle=Teller(here.clock).handle
        )
        self.deliverer = Deliverer(here.engine, self.fetcher)

    def create(self, receiver, **given):
        return keeping.create(
            self.engine, self.fetcher, url=getattr(receiver, "url", receiver),
            models=given.get("models", ("*",)), description="", by="ann",
        )  # fmt: skip

    def decide(self, *signals, name="fraud-42"):
        if Signal.PLAN in signals:
            with writing(self.engine) as connection:
                editing.create(connection, declared(name), who=ANN, now_ms=1_000)
        for signal in signals:
            ask = Ask(rollout=name, signal=signal, cause=ANN)
            decide(self.engine, ask, now_ms=self.here.now_ms(), wall_ms=self.here.now_ms())

    def step(self):
        self.relay.step()
        while self.heard.step():
            pass
        self.deliverer.step()

    def settle(self, timeout_s=10.0):
        """Steps until nothing is under way that is due."""
        self.step()
        assert self.deliverer.wait(timeout_s)

    def told(self, webhook):
        return keeping.told(self.engine, webhook.id, limit=100)

    def hurry(self):
        """What waits for its next attempt is due now."""
        with writing(self.engine) as connection:
            connection.exec_driver_sql("UPDATE webhook_delivery SET due_ms = 1 WHERE due_ms > 0")

    def close(self):
        self.heard.close()
        self.deliverer.close()


@pytest.fixture
def sending(here):
    made = Sending(here)
    yield made
    made.close()


def test_a_decision_arrives_signed_as_a_cloudevent(sending, receiving):
    receiver = receiving()
    webhook = sending.create(receiver)

    sending.decide(Signal.PLAN, Signal.START)
    sending.settle()

    first, second = receiver.got
    assert Verifier(webhook.secret).verify(first.body, first.headers)
    told = json.loads(second.body)
    assert second.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert (told["specversion"], told["type"]) == ("1.0", "io.penstock.rollout.decided.v1")
    assert (told["id"], told["subject"]) == ("decision/fraud-42/2", declared().spec.model)
    assert told["data"]["signal"] == "start"
    assert (told["data"]["from"], told["data"]["to"]) == ("planned", "shadow")
    assert told["data"]["because"] == ["it is time"]
    assert [each.state for each in sending.told(webhook)] == ["delivered", "delivered"]


def test_what_became_of_a_review_arrives_too(sending, receiving):
    receiver = receiving()
    sending.create(receiver)
    asked = Asked("r", "spam", "spam-42", 1, "p-1", "42", 1.0, 0, 1_000, b"{}")
    no = Saying(state=State.REFUSED, by="bob", reason="no spam", label="ham")
    with writing(sending.engine) as connection:
        reviews.ask(connection, [asked])
        reviews.answer(connection, "r", no, now_ms=5, wall_ms=5)

    sending.settle()

    [got] = receiver.got
    told = json.loads(got.body)
    assert (told["type"], told["id"]) == ("io.penstock.review.closed.v1", "review/r")
    assert {name: told["data"][name] for name in ("prediction_id", "state", "who", "label")} == {
        "prediction_id": "p-1", "state": "refused", "who": "bob", "label": "ham",
    }  # fmt: skip


def test_a_body_or_time_that_was_changed_is_not_ours(sending, receiving):
    receiver = receiving()
    webhook = sending.create(receiver)
    sending.decide(Signal.PLAN)
    sending.settle()
    [got] = receiver.got

    for body, headers in (
        (got.body.replace(b"plan", b"harm"), got.headers),
        (got.body, got.headers | {"webhook-id": "msg_other"}),
        (got.body, got.headers | {"webhook-timestamp": str(int(time.time()) - 10)}),
    ):
        with pytest.raises(WebhookVerificationError):
            Verifier(webhook.secret).verify(body, headers)


def test_a_receiver_that_is_broken_for_a_while_gets_everything_under_the_same_id(
    sending, receiving, caplog
):
    caplog.set_level(logging.INFO)
    receiver = receiving(says(500, b"out of order"), says(503, Retry_After="7200"))
    webhook = sending.create(receiver)
    sending.decide(Signal.PLAN)

    sending.settle()
    [failed] = sending.told(webhook)
    sending.hurry()
    sending.settle()
    [asked] = sending.told(webhook)
    shown = keeping.listed(sending.engine)[0]
    sending.hurry()
    sending.settle()
    [taken] = sending.told(webhook)

    assert (failed.state, failed.attempts, failed.status) == ("waiting", 1, 500)
    assert failed.said == "it answered 500: out of order"
    assert 4_000 < failed.due_ms - failed.tried_ms < 6_000
    assert asked.due_ms - asked.tried_ms == 7_200_000
    assert (shown.state, shown.failure, shown.waiting) == ("failing", "it answered 503", 1)
    assert (taken.state, taken.attempts, taken.status) == ("delivered", 3, 204)
    assert len({(each.id, each.body) for each in receiver.got}) == 1
    assert keeping.listed(sending.engine)[0].state == "live"
    assert [each.getMessage() for each in caplog.records if "webhook wh" in each.getMessage()] == [
        f"webhook {webhook.id} fails: it answered 500: out of order",
        f"webhook {webhook.id} takes again",
    ]


def test_who_dies_before_it_is_noted_has_it_sent_again_under_the_same_id(sending, receiving):
    receiver = receiving()
    webhook = sending.create(receiver)
    sending.decide(Signal.PLAN)
    sending.relay.step()
    sending.heard.step()
    with writing(sending.engine) as connection:
        now_ms = sending.here.clock.wall_ms()
        held = deliveries.claim(connection, webhook.id, now_ms=now_ms, for_ms=CLAIM_MS)
    sent = {"signed_with": [webhook.secret], "message_id": held.message_id, "body": held.body}
    attempt(sending.fetcher, receiver.url, now_ms=now_ms, **sent)

    sending.settle()
    meanwhile = len(receiver.got)
    sending.hurry()
    sending.settle()

    assert (meanwhile, len(receiver.got)) == (1, 2)
    assert receiver.got[0].id == receiver.got[1].id
    assert [each.state for each in sending.told(webhook)] == ["delivered"]


def test_410_ends_the_webhook_and_what_was_on_its_way(sending, receiving):
    receiver = receiving(says(410))
    webhook = sending.create(receiver)
    sending.decide(Signal.PLAN, Signal.START)

    sending.settle()
    sending.decide(Signal.PAUSE)
    sending.settle()

    assert len(receiver.got) == 1
    assert [each.state for each in sending.told(webhook)] == ["dropped", "dropped"]
    assert keeping.listed(sending.engine)[0].state == "gone"
    with pytest.raises(ConflictError, match="has ended"):
        keeping.test(sending.engine, sending.fetcher, webhook.id)


def test_one_that_hangs_keeps_nobody_else_waiting(here, receiving):
    hanging = receiving()
    hanging.otherwise = hanging.hangs
    well = receiving()
    sending = Sending(here, patience_s=20)
    slow, quick = sending.create(hanging), sending.create(well)
    sending.decide(Signal.PLAN, Signal.START)

    sending.step()
    assert eventually(lambda: len(well.got) == 2 and len(hanging.got) == 1, 15)
    assert eventually(lambda: {each.state for each in sending.told(quick)} == {"delivered"}, 15)
    in_hand = sending.told(slow)
    hanging.freed.set()  # it hangs up
    assert sending.deliverer.wait(15)

    assert [(each.state, each.attempts) for each in in_hand] == [("waiting", 0)] * 2
    assert [(each.state, each.attempts) for each in sending.told(slow)] == [("waiting", 1)] * 2
    assert "cannot be reached" in sending.told(slow)[0].said
    sending.close()


def test_headers_that_drip_are_cut_off_in_time(here, receiving):
    receiver = receiving()
    receiver.otherwise = receiver.drips
    sending = Sending(here, patience_s=0.4)
    webhook = sending.create(receiver)

    begun = time.monotonic()
    tried = keeping.test(here.engine, sending.fetcher, webhook.id)

    assert time.monotonic() - begun < 10  # and not the minutes that it would take
    assert (tried.taken, tried.status) == (False, None)
    assert "did not answer within 0.4 s" in tried.said
    sending.close()


def test_of_a_huge_answer_no_more_is_read_than_is_shown(sending, receiving):
    sent = []

    def endless(handler):
        handler.send_response(500)
        handler.end_headers()
        try:
            while len(sent) < 10_000:
                handler.wfile.write(b"x" * 65_536)
                sent.append(1)
        except OSError:
            handler.close_connection = True

    webhook = sending.create(receiving(otherwise=endless))

    tried = keeping.test(sending.engine, sending.fetcher, webhook.id)

    assert tried.said == "it answered 500: " + "x" * 512
    assert len(sent) < 1_000


def test_a_redirect_is_not_followed(sending, receiving):
    inner = receiving()
    webhook = sending.create(receiving(otherwise=says(307, Location=inner.url)))

    tried = keeping.test(sending.engine, sending.fetcher, webhook.id)

    assert tried.said == "it answered 307, and redirects are not followed"
    assert inner.got == []


def test_a_name_that_stands_for_a_private_address_is_not_called(sending, receiving):
    receiver = receiving()
    named = f"http://localhost:{receiver.server_port}/"
    public_only = Fetcher(read_rules(prefixes="http://", networks=""))
    webhook = sending.create(named)

    refused = keeping.test(sending.engine, public_only, webhook.id)
    meant = keeping.test(sending.engine, sending.fetcher, webhook.id)

    assert "no public address" in refused.said
    assert receiver.got[0].headers["host"] == f"localhost:{receiver.server_port}"
    assert (meant.taken, len(receiver.got)) == (True, 1)


def test_a_certificate_is_held_against_the_name_and_who_is_trusted(receiving, monkeypatch):
    receiver = receiving(tls=True)
    port, sent = receiver.server_port, {"headers": {}, "body": b"{}"}
    rules = read_rules(prefixes="https://", networks="127.0.0.1")

    with pytest.raises(UnavailableError, match="certificate verify failed"):
        Fetcher(rules).post(f"https://localhost:{port}/", **sent)
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    taken = Fetcher(rules).post(f"https://localhost:{port}/", **sent)
    with pytest.raises(UnavailableError, match="certificate verify failed"):
        Fetcher(rules).post(f"https://127.0.0.1:{port}/", **sent)

    assert (taken.status, len(receiver.got)) == (204, 1)


def test_a_webhook_outside_of_the_allowed_prefixes_is_not_made(sending, receiving):
    receiver = receiving()
    rules = read_rules(prefixes=f"{receiver.url}/penstock", networks="127.0.0.1")

    for url in (receiver.url, f"{receiver.url}/penstockade", f"{receiver.url}/penstock/../x"):
        with pytest.raises(InputError):
            keeping.create(
                sending.engine, Fetcher(rules), url=url, models=["*"], description="", by="ann"
            )

    inside = keeping.create(
        sending.engine, Fetcher(rules), url=f"{receiver.url}/penstock/a?b=c", models=["*"],
        description="", by="ann",
    )  # fmt: skip
    assert keeping.test(sending.engine, Fetcher(rules), inside.id).taken


def test_what_is_given_up_is_said_and_can_be_sent_again(sending, receiving, caplog):
    receiver = receiving(otherwise=says(500))
    webhook = sending.create(receiver)
    sending.decide(Signal.PLAN)
    for _ in range(10):
        sending.settle()
        sending.hurry()
    sending.settle()
    given_up = sending.told(webhook)[0]
    receiver.otherwise = says(200)

    renewed = keeping.resend(sending.engine, webhook.id, events=())
    sending.settle()

    assert (given_up.state, given_up.attempts, given_up.due_ms) == ("given up", 10, None)
    assert f"webhook {webhook.id} never took decision/fraud-42/1" in caplog.text
    assert renewed.count == 1
    assert sending.told(webhook)[0].state == "delivered"
    assert {each.id for each in receiver.got} == {receiver.got[0].id}
    with pytest.raises(InputError, match="was not told all of these"):
        keeping.resend(sending.engine, webhook.id, events=["decision/none/1"])


def test_after_a_rotation_both_secrets_sign_for_a_day(sending, receiving):
    receiver = receiving()
    before = sending.create(receiver)
    after = keeping.rotate(sending.engine, before.id)

    keeping.test(sending.engine, sending.fetcher, before.id)
    a_day_later = keeping._wall_ms() + webhooks.BOTH_MS
    with reading(sending.engine) as connection:
        later = webhooks.signed_with(connection, before.id, now_ms=a_day_later)

    [got] = receiver.got
    for secret in (before.secret, after.secret):
        assert Verifier(secret).verify(got.body, got.headers)
    assert later == [after.secret]


def test_a_webhook_hears_of_its_models_only(sending, receiving):
    other, every = receiving(), receiving()
    sending.create(other, models=("another",))
    sending.create(every, models=(declared().spec.model,))

    sending.decide(Signal.PLAN)
    sending.settle()

    assert (len(other.got), len(every.got)) == (0, 1)


def test_a_revoked_webhook_hears_nothing_more_and_has_no_secret(sending, receiving):
    receiver = receiving()
    webhook = sending.create(receiver)
    sending.decide(Signal.PLAN)
    sending.relay.step()
    sending.heard.step()

    keeping.revoke(sending.engine, webhook.id)
    sending.settle()

    assert receiver.got == []
    assert [each.state for each in sending.told(webhook)] == ["dropped"]
    with reading(sending.engine) as connection:
        assert webhooks.signed_with(connection, webhook.id, now_ms=0) == [""]


def test_the_receiver_in_the_documents_knows_us_from_another(sending):
    page = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.+?)```", page, re.DOTALL)
    port = free_port()
    webhook = sending.create(f"http://127.0.0.1:{port}/")
    given = {"WEBHOOK_SECRET": webhook.secret, "PORT": str(port)}
    receiver = subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | given, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert eventually(lambda: answers(port), 10)
        ours = keeping.test(sending.engine, sending.fetcher, webhook.id)
        sending.decide(Signal.PLAN)
        sending.settle()
        for _ in range(2):  # the second time the secret that it knows signs no more
            keeping.rotate(sending.engine, webhook.id)
        others = keeping.test(sending.engine, sending.fetcher, webhook.id)
    finally:
        receiver.terminate()
        printed, _ = receiver.communicate()

    assert (ours.status, others.status) == (204, 401)
    assert len(printed.splitlines()) == 2
    assert "'rollout': 'fraud-42'" in printed.splitlines()[1]


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
