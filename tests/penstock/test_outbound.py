"""Where something may be sent: places, prefixes, addresses; and when it is tried again."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.outbound.rules import placed, read_rules
from penstock.webhooks import delays, signing
from streams.errors import ConfigError, InputError

PUBLIC = read_rules(
    prefixes="https://hooks.example.com/penstock,http://a:8080/,https://[2001:db8::1]/", networks=""
)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/penstock", "https://hooks.example.com/penstock/a?b=c",
        "https://HOOKS.example.com:443/penstock/", "http://a:8080", "http://a:8080/?x",
        "https://[2001:DB8:0::1]/x",
    ],
)  # fmt: skip
def test_what_begins_with_a_prefix_is_allowed(url):
    assert PUBLIC.allowed(url) == placed(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/penstock", "https://hooks.example.com/", "http://a/",
        "https://hooks.example.com/penstocks", "https://hooks.example.com:444/penstock",
        "https://hooks.example.com.evil.org/penstock", "https://hooks.example.com@evil.org/penstock",
        "https://evil.org/https://hooks.example.com/penstock",
        "https://hooks.example.com/penstock/../admin", "https://hooks.example.com/penstock/%2e%2e/x",
        "https://hooks.example.com/penstock/.%2E", "https://hooks.example.com\\@evil.org/penstock",
        "https://hooks.example.com/pen\nstock", "https://hooks.example.com/penstock#x",
        "https://höoks.example.com/penstock", "https://hooks.example.com:99999/penstock",
        "https:///penstock", "ftp://a:8080/", "//a:8080/", "", "https://[::1%25eth0]/", "file:///etc",
        "https://hooks.example.com/penstock/" + "x" * 2_000,
    ],
    ids=lambda url: url[:50],
)  # fmt: skip
def test_everything_else_is_not(url):
    with pytest.raises(InputError) as caught:
        PUBLIC.allowed(url)

    assert caught.value.field == "url"
    assert caught.value.why
    assert caught.value.fix


def test_a_scheme_alone_stands_for_every_host():
    rules = read_rules(prefixes="https://", networks="")

    assert rules.allowed("https://anywhere.example:8443/x").port == 8443
    with pytest.raises(InputError):
        rules.allowed("http://anywhere.example/x")


def test_nothing_is_allowed_unless_it_is_said():
    with pytest.raises(InputError, match="nothing may be sent to https://a"):
        read_rules(prefixes="", networks="").allowed("https://a/")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1",
        "fc00::1",
        "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:7f00:1::",
        "2001:db8::1",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_not_connected_to(address):
    assert not PUBLIC.permits(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800::1", "::ffff:93.184.215.14"])
def test_a_public_one_is(address):
    assert PUBLIC.permits(ipaddress.ip_address(address))


def test_networks_of_ours_can_be_meant():
    rules = read_rules(prefixes="", networks="10.1.0.0/16, fd00::/8")

    given = ("10.1.2.3", "10.2.0.1", "fd00::1", "fc00::1", "::ffff:10.1.0.1", "127.0.0.1")
    meant = [rules.permits(ipaddress.ip_address(each)) for each in given]

    assert meant == [True, False, True, False, True, False]


@given(st.ip_addresses(v=4))
def test_an_ipv6_address_is_as_public_as_the_ipv4_one_in_it(address):
    public = PUBLIC.permits(address)

    for wrapped in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert PUBLIC.permits(ipaddress.ip_address(wrapped)) == public


@pytest.mark.parametrize(
    ("prefixes", "networks", "named"),
    [
        ("hooks.example.com", "", "PENSTOCK_OUTBOUND_PREFIXES: 'hooks.example.com'"),
        ("https://a/,https://b/?q#f", "", "https://b/"),
        ("", "10.0.0.1/8", "PENSTOCK_OUTBOUND_NETWORKS: '10.0.0.1/8'"),
    ],
    ids=["no scheme", "a fragment", "host bits"],
)
def test_a_rule_that_cannot_be_read_is_named(prefixes, networks, named):
    with pytest.raises(ConfigError, match=named):
        read_rules(prefixes=prefixes, networks=networks)


def test_ten_attempts_lie_within_two_days():
    now_ms, seen = 0, []
    for attempts in range(1, 10):
        due_ms = delays.next_ms(attempts, now_ms=now_ms, message_id="msg_1")
        seen.append((due_ms - now_ms) / 1000)
        now_ms = due_ms

    assert delays.next_ms(10, now_ms=now_ms, message_id="msg_1") is None
    assert all(own <= took < own * 1.1 for own, took in zip(delays.DELAYS_S, seen, strict=True))
    assert 47 * 3600 < sum(delays.DELAYS_S) < 48 * 3600


@given(st.integers(1, 9), st.text(max_size=40) | st.sampled_from(["-5", "9" * 400, "1e9", "nan"]))
def test_what_a_receiver_asks_for_only_ever_delays_and_by_a_day_at_most(attempts, asked):
    own_ms = delays.next_ms(attempts, now_ms=0, message_id="m")

    due_ms = delays.next_ms(attempts, now_ms=0, message_id="m", retry_after=asked)

    assert own_ms <= due_ms <= max(own_ms, 86_400_000)


def test_a_date_of_http_is_understood():
    now_ms = 1_795_219_200_000  # 2026-11-21 00:00:00 UTC

    due_ms = delays.next_ms(
        1, now_ms=now_ms, message_id="m", retry_after="Sat, 21 Nov 2026 00:02:00 GMT"
    )

    assert due_ms == now_ms + 120_000


def test_the_signature_is_that_of_the_specifications_example():
    # As its libraries and the documents of Svix, who wrote it, have it.
    signed = signing.signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        at_s=1614265330, body=b'{"test": 2432232314}',
    )  # fmt: skip

    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
