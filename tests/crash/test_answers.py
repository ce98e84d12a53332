"""A web process killed while it decides: who sends the same key again is told what was decided."""

import random
import signal
import threading
import time

import httpx
import pytest

from rollout import store
from streams import registry, versions
from streams.db.engine import reading, writing
from streams.models import Declaration
from tests.rollout.looking import NAME, SPEC
from tests.web.places import Place
from tests.web.test_serve import Server

pytestmark = pytest.mark.crash
KILLS = 12
YAML = {"content-type": "application/yaml"}


def test_a_decision_whose_answer_was_lost_is_made_once_and_told_again(tmp_path):
    place = Place(tmp_path)
    with writing(place.engine) as connection:
        declared = Declaration(model="spam", task="classification", classes=("ham", "spam"))
        registry.register(connection, declared, now_ms=0, by="ann")
        for label in ("41", "42"):
            versions.add_version(
                connection, "spam", label, digest=label[-1] * 64, body=versions.Body(), now_ms=1,
                by="ann",
            )  # fmt: skip
    place.close()
    server = Server(tmp_path)
    httpx.post(f"{server.url}/v1/rollouts", content=SPEC, headers=YAML).raise_for_status()
    decide(server, "start", "begin").raise_for_status()
    dice, lost = random.Random(7), 0

    for k in range(KILLS):
        action, heard = ("pause", "resume")[k % 2], []
        asking = threading.Thread(target=ask, args=(server, action, f"key-{k}", heard))
        asking.start()
        time.sleep(dice.uniform(0.0, 0.05))
        server.end(signal.SIGKILL)
        asking.join()
        server = Server(tmp_path)
        answer = decide(server, action, f"key-{k}")
        assert answer.status_code == 200, answer.text
        assert answer.json()["decision"]["seq"] == k + 3
        assert heard in ([], [answer.content])
        lost += not heard

    server.end()
    place = Place(tmp_path)
    with reading(place.engine) as connection:
        decisions = store.standing(connection, NAME).decisions
    place.close()
    signals = [decision.signal for decision in decisions]
    assert signals == ["plan", "start", *["pause", "resume"] * (KILLS // 2)]
    assert lost  # else nothing was killed while it decided


def ask(server, action, key, heard):
    try:
        answer = decide(server, action, key)
    except httpx.HTTPError:
        return
    heard.append(answer.content)


def decide(server, action, key):
    headers = {"If-Match": "*", "Idempotency-Key": key}
    body = {"action": action, "reason": "it is time"}
    path = f"{server.url}/v1/rollouts/{NAME}/decisions"
    return httpx.post(path, json=body, headers=headers, timeout=30)
