"""`penstock webhook`: from the making of one to its end."""

import pytest

from streams import deliveries
from streams.db.engine import connect, writing
from streams.deliveries import New
from tests.penstock.receivers import Receiver, says


@pytest.fixture
def receiver(monkeypatch):
    receiver = Receiver()
    monkeypatch.setenv("PENSTOCK_OUTBOUND_PREFIXES", receiver.url)
    monkeypatch.setenv("PENSTOCK_OUTBOUND_NETWORKS", "127.0.0.1")
    yield receiver
    receiver.close()


def test_a_webhook_from_its_making_to_its_end(installed, receiver, data_dir):
    made = installed("webhook", "create", receiver.url, "-o", "json")
    webhook = made.json["id"]
    tested = installed("webhook", "test", webhook, "-o", "json")
    receiver.otherwise = says(500, b"\x1b[2Jno")
    refused = installed("webhook", "test", webhook)
    engine = connect(f"sqlite:///{data_dir / 'penstock.db'}")
    with writing(engine) as connection:
        deliveries.put(connection, [New(webhook, "msg_1", "decision/r/1", b"{}")], now_ms=1)
    engine.dispose()
    told = installed("webhook", "deliveries", webhook, "-o", "json")
    again = installed("webhook", "resend", webhook, "decision/r/1", "-o", "json")
    rotated = installed("webhook", "rotate", webhook, "-y", "-o", "json")
    asked = installed("webhook", "revoke", webhook)
    revoked = installed("webhook", "revoke", webhook, "-y")
    listed = installed("webhook", "list", "-o", "json")

    assert "it cannot be shown again" in made.err
    assert (tested.code, tested.json["status"]) == (0, 204)
    assert (refused.code, "\x1b" in refused.out) == (1, False)
    assert "it answered 500: \\x1b[2Jno" in refused.out
    assert [(each["event"], each["state"]) for each in told.json] == [("decision/r/1", "waiting")]
    assert again.json["count"] == 1
    assert rotated.json["secret"] != made.json["secret"]
    assert (asked.code, revoked.code) == (3, 0)
    [shown] = listed.json
    assert (shown["state"], shown["waiting"], "secret" in shown) == ("revoked", 0, False)
    assert installed("webhook", "rotate", webhook, "-y").code == 5


def test_nothing_is_sent_anywhere_unless_it_is_set(installed):
    said = installed("webhook", "create", "https://hooks.example.com/penstock")

    assert said.code == 1
    assert "nothing may be sent to https://hooks.example.com" in said.err
    assert "PENSTOCK_OUTBOUND_PREFIXES is not set" in said.err
    assert "next:" in said.err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PENSTOCK_OUTBOUND_PREFIXES", "hooks.example.com"),
        ("PENSTOCK_OUTBOUND_PREFIXES", "https://a/,ftp://b/"),
        ("PENSTOCK_OUTBOUND_NETWORKS", "10.0.0.1/8"),
    ],
)
def test_a_rule_that_cannot_be_read_is_named(installed, monkeypatch, name, value):
    monkeypatch.setenv(name, value)

    said = installed("webhook", "create", "https://hooks.example.com/")

    assert said.code == 2
    assert name in said.err
