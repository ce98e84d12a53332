"""Requests of one key become few envelopes; those of different keys never share one."""

from streams import envelopes
from tests.web.places import lines, prediction


def test_requests_that_come_together_share_envelopes(place, client):
    bodies = [lines(prediction(k)) for k in range(200)]

    answers = client.send_together(*bodies)

    assert {answer.json()["accepted"] for answer in answers} == {1}
    events, _, records = place.kept()
    assert len({event.prediction_id for _, event in events}) == 200
    assert len(records) <= 36  # three rounds of 12 partitions, not 200 records


def test_an_envelope_never_mixes_keys(place, client):
    first, second = place.key("events:write"), place.key("events:write", "labels:write")
    together = [(lines(prediction(k)), (first, second)[k % 2]) for k in range(60)]

    client.send_together(*[body for body, _ in together], headers=[h for _, h in together])

    owner = {place.key_id(first): 0, place.key_id(second): 1}
    for record in place.kept()[2]:
        parities = {int(event.prediction_id[2:]) % 2 for event in record.events}
        assert parities == {owner[record.header.key]}


def test_large_requests_are_cut_into_envelopes_of_bounded_size(place, client):
    body = lines(*[prediction(1, notes=f"{k}" + "x" * 20_000) for k in range(40)])

    assert client.send(body).json()["accepted"] == 40

    sizes = [sum(map(len, record.lines)) for record in place.kept()[2]]
    assert len(sizes) == 4
    assert max(sizes) <= 256 << 10


def test_a_header_from_outside_is_not_believed(place, client):
    body = envelopes.pack([lines(prediction(1))], key="somebody", appended_ms=5, hops=9)

    client.send(body)

    (record,) = place.kept()[2]
    assert (record.header.key, record.header.appended_ms, record.header.hops) == (None, None, 0)


def test_when_the_log_refuses_every_request_that_waited_is_told(place, client):
    place.log.drop("events")
    place.log.ensure("events", 1)

    answers = client.send_together(*[lines(prediction(k)) for k in range(5)])

    assert {answer.status_code for answer in answers} == {500}
    assert all(answer.json()["type"] == "/problems/internal" for answer in answers)
    assert client.get("/healthz").status_code == 200
