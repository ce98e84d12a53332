"""What is answered with 202 is in the log, in the right partition, once."""

import gzip

from streams.hashing import partition_of
from tests.web.places import lines, prediction


def test_accepted_events_are_in_the_log_by_partition(client, place):
    sent = [prediction(i) for i in range(500)]

    answer = client.send(lines(*sent))

    assert answer.status_code == 202
    assert answer.json() == {"accepted": 500, "rejected": [], "warnings": []}
    events, refused, envelopes = place.kept()
    assert sorted(e.prediction_id for _, e in events) == sorted(e["prediction_id"] for e in sent)
    assert all(p == partition_of("mailguard", e.prediction_id, 12) for p, e in events)
    assert refused == []
    assert len(envelopes) == 12


def test_a_gzip_body_is_taken(client, place):
    body = gzip.compress(lines(prediction(1), prediction(2)))

    answer = client.send(body, content_encoding="gzip")

    assert answer.json()["accepted"] == 2
    assert len(place.kept()[0]) == 2
