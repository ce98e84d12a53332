"""Where the chains of decisions stand is told once a day."""

import msgspec

from rollout import heads, store
from rollout.stages import Signal
from streams import outbox
from streams.db.engine import reading, writing
from streams.messages import ChainHeads
from streams.models import DAY_MS
from tests.rollout.test_acting import NOW_MS, ask, created


def published(engine, now_ms):
    with writing(engine) as connection:
        return heads.publish(connection, now_ms=now_ms, wall_ms=now_ms)


def test_a_day_has_one_message_with_the_hash_of_every_newest_decision(ready):
    assert not published(ready, NOW_MS)
    created(ready)
    assert not published(ready, NOW_MS)  # it is a draft: nothing was decided
    ask(ready, Signal.PLAN)

    told = [
        published(ready, NOW_MS),
        published(ready, NOW_MS + 1),
        published(ready, NOW_MS + DAY_MS),
    ]

    assert told == [True, False, True]
    with reading(ready) as connection:
        made = store.standing(connection, "fraud-42").decisions[-1]
        summary = store.summaries(connection)
    with writing(ready) as connection:
        sent = [
            msgspec.json.decode(each.body, type=ChainHeads)
            for each in outbox.claim(connection, owner="t", now_ms=2 * NOW_MS, lease_ms=1)
            if each.key == "heads"
        ]
    assert [(each.heads["fraud-42"].seq, each.heads["fraud-42"].hash) for each in sent] == [
        (made.seq, made.hash)
    ] * 2
    assert [(each.rollout, each.seq) for each in summary] == [("fraud-42", 1)]
