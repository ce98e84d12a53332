"""Ingest on Kafka while its brokers are away: 503 in time, and nothing lost after 202."""

import json
import time
import urllib.error
import urllib.request

import pytest

from tests.cli.conftest import prediction

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
UNDER_WAY_S, LATER_S = 25.0, 5.0  # for an answer, on a busy machine


def posted(place, number):
    """(status, Retry-After, seconds) of one event."""
    request = urllib.request.Request(
        f"{place.url}/v1/events",
        json.dumps(prediction(number)).encode(),
        {"Content-Type": "application/json"},
    )
    began = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, None, time.monotonic() - began
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Retry-After"], time.monotonic() - began


def test_while_brokers_are_away_ingest_says_503_and_what_it_took_is_counted(place, kafka_server):
    place.serve()
    place.play("control")
    place.play("worker", "w1")
    taken = {k for k in range(20) if posted(place, k)[0] == 202}
    (broker,) = kafka_server.nodes

    broker.kill()
    away = [posted(place, k) for k in range(20, 24)]
    broker.start()
    deadline = time.monotonic() + 60
    number = 100
    while (status := posted(place, number)[0]) != 202:
        assert status == 503
        assert time.monotonic() < deadline
        number += 1
        time.sleep(0.2)
    taken.add(number)

    print(f"answered after {', '.join(f'{s:.1f} s' for _, _, s in away)}")
    assert len(taken) == 21
    assert {code for code, _, _ in away} == {503}
    assert all(1 <= int(wait) <= 10 for _, wait, _ in away)
    assert away[0][2] < UNDER_WAY_S
    assert max(seconds for _, _, seconds in away[1:]) < LATER_S
    place.until(lambda: place.counted() >= len(taken))
    done = place.run("events", "counts", "-o", "json")
    (counts,) = json.loads(done.stdout)
    assert counts["answered"] >= len(taken)
