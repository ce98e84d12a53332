"""Nothing that a service can hand over, and nothing that happens around it, raises or waits."""

import asyncio
import logging
import signal
import time
from inspect import signature

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from penstock_client import Client, Limits

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.binary(max_size=20)
    | st.builds(object),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
FIELDS = st.dictionaries(
    st.sampled_from(sorted(set(signature(Client.record).parameters) - {"self", "assignment"})),
    ANYTHING,
    max_size=4,
)


@pytest.fixture(scope="module")
def unreachable(tmp_path_factory):
    limits = Limits(backoff_min_s=30, backoff_max_s=30)
    client = Client("http://127.0.0.1:1", "digits", champion="41", limits=limits,
                    state_dir=tmp_path_factory.mktemp("state"))  # fmt: skip
    yield client
    client.close(0)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(ANYTHING, ANYTHING, FIELDS)
def test_no_value_whatsoever_raises(unreachable, one, other, fields):
    assignment = unreachable.assign(one, tags=other, champion=one)
    unreachable.record(assignment, **fields)
    unreachable.record(one, label="7")
    unreachable.label(prediction_id=one, label=other)
    unreachable.label(join_key=one, value=other, text=one)
    unreachable.feedback(one, value=other, unit_id=one)
    unreachable.outcome_missing(one, reason=other)
    with unreachable.predicting(assignment, features=one) as predicting:
        predicting.answer(label=other)

    stats = unreachable.stats()
    assert stats.recorded + stats.invalid >= 8


@pytest.mark.parametrize(
    "fields",
    [
        {"score": float("nan")},
        {"value": float("inf")},
        {"label": "cat", "scores": {"cat": float("nan")}},
        {"label": "cat", "features": {"x": float("inf")}},
        {"label": "cat", "features": {"x": object()}},
        {"label": "cat", "latency_ms": float("nan")},
        {"boxes": [{"label": "car", "box": [0, 0, 1, float("nan")]}]},
        {"label": 1.5},
        {"score": "high"},
        {"text": "x" * 40_000},
        {"error": ()},
        {},
    ],
)
def test_what_cannot_be_sent_is_counted_and_named_and_is_no_answer(connect, remote, caplog, fields):
    client = connect()

    client.record(client.assign(), **fields)
    client.record(client.assign(), **fields)
    client.flush()

    assert client.stats().invalid == 2
    assert client.stats().recorded == 0
    assert remote.of("prediction") == []
    assert remote.counts() == {"assigned": 2, "answered": 0, "dropped": 0}
    client.close()
    assert len([r for r in caplog.records if "event invalid" in r.message]) == 1


def test_an_assignment_names_the_champion_until_something_else_is_decided(connect, monkeypatch):
    assert connect().assign().version == "41"
    assert connect().assign(champion="40").version == "40"
    monkeypatch.setenv("PENSTOCK_PIN", "39")
    pinned = connect()
    monkeypatch.setenv("PENSTOCK_PIN", "38")

    assert pinned.assign(champion="40").version == "39", "read once, when the client was made"


def test_without_a_champion_the_service_is_told_by_log_and_not_by_exception(connect):
    client = connect(champion=None)

    assert client.assign().version == "unknown"
    assert "needs a champion" in client.stats().last_fault


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("localhost:8080", {}),
        ("ftp://host", {}),
        ("http://", {}),
        ("http://me:secret@host", {}),
        ("http://host", {"key": "two words"}),
        ("http://host", {"key": "line\nbreak"}),
    ],
)
def test_what_can_never_work_is_refused_when_the_client_is_made(url, settings, tmp_path):
    with pytest.raises(ValueError, match=r"url|key"):
        Client(url, "digits", champion="41", state_dir=tmp_path, **settings)


@pytest.mark.parametrize(
    "wrong", [{"flush_ms": 0}, {"batch_events": 2_000}, {"backoff_min_s": 90}, {"buffer_bytes": -1}]
)
def test_limits_that_cannot_be_kept_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must|most"):
        Limits(**wrong)


def test_predicting_measures_the_latency_of_the_block(connect, remote):
    client = connect()

    with client.predicting(client.assign(), features={"age": 3}) as predicting:
        time.sleep(0.02)
        predicting.answer(label="cat", score=0.9)
    client.flush()

    [event] = remote.of("prediction")
    assert event["output"] == {"label": "cat", "score": 0.9}
    assert event["features"] == {"age": 3}
    assert 20 <= event["latency_ms"] < 2_000


def test_predicting_records_what_the_model_raised_and_lets_it_through(connect, remote):
    client = connect()

    with (
        pytest.raises(ZeroDivisionError, match="division"),
        client.predicting(client.assign(), features={"age": 3}) as predicting,
    ):
        predicting.answer(label=str(1 // 0))
    client.flush()

    [event] = remote.of("prediction")
    assert event["error"] == {"type": "ZeroDivisionError", "message": str(_division())}
    assert event["features"] == {"age": 3}
    assert "output" not in event
    assert remote.counts() == {"assigned": 1, "answered": 1, "dropped": 0}


def _division():
    try:
        return 1 // 0
    except ZeroDivisionError as error:
        return error


def test_an_interruption_is_not_the_models_fault(connect, remote):
    client = connect()

    with pytest.raises(KeyboardInterrupt), client.predicting(client.assign()):
        raise KeyboardInterrupt
    with client.predicting(client.assign()):
        pass
    client.flush()

    assert remote.of("prediction") == []
    assert remote.counts() == {"assigned": 2, "answered": 0, "dropped": 0}


def test_asyncio_services_use_it_as_it_is(connect, remote):
    client = connect()

    async def request(index):
        assignment = client.assign(f"unit-{index}")
        with client.predicting(assignment) as predicting:
            await asyncio.sleep(0.001)
            predicting.answer(label="7")

    async def service():
        await asyncio.gather(*(request(index) for index in range(200)))
        return await asyncio.to_thread(client.flush)

    assert asyncio.run(service())
    assert len(remote.of("prediction")) == 200


def test_a_cancelled_task_leaves_its_answer_missing(connect, remote):
    client = connect()

    async def request():
        with client.predicting(client.assign()) as predicting:
            await asyncio.sleep(60)
            predicting.answer(label="7")

    async def service():
        task = asyncio.create_task(request())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(service())
    client.flush()
    assert remote.counts() == {"assigned": 1, "answered": 0, "dropped": 0}


def test_after_close_nothing_raises_and_everything_is_counted(connect, remote):
    client = connect()
    client.record(client.assign(), label="7")
    client.close()
    client.close()

    client.record(client.assign("unit"), label="7")
    client.label(prediction_id="p-7", label="7")

    assert len(remote.of("prediction")) == 1
    assert client.stats().dropped == 2
    assert client.stats().recorded == 3
    assert client.flush(0.1)


def test_a_client_closes_at_the_end_of_its_block(connect, remote):
    with connect() as client:
        client.record(client.assign(), label="7")

    assert len(remote.of("prediction")) == 1


def test_close_waits_no_longer_than_it_may(connect, remote, answers):
    client = connect()
    remote.answer = answers["slow"](3)
    client.record(client.assign(), label="7")

    began = time.monotonic()
    client.close(timeout_s=0.3)

    assert time.monotonic() - began < 2
    assert client.stats().dropped == 1


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this platform has no timers")
def test_a_signal_handler_may_record_in_the_middle_of_a_record(connect, remote):
    client = connect()
    before = signal.signal(
        signal.SIGALRM, lambda *_: client.record(client.assign(), label="signal")
    )

    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    for _ in range(1_000):
        client.record(client.assign(), label="main")
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)

    assert client.flush()
    labels = [event["output"]["label"] for event in remote.of("prediction")]
    assert labels.count("main") == 1_000
    assert labels.count("signal") > 0


def test_a_log_handler_that_raises_harms_nobody(connect, remote):
    class Broken(logging.Handler):
        def emit(self, record):
            raise RuntimeError(record)

    broken = Broken()
    logging.getLogger("penstock_client").addHandler(broken)
    client = connect()

    client.record(None)
    client.record(client.assign(), label="7")
    client.flush()
    client.close()
    logging.getLogger("penstock_client").removeHandler(broken)

    assert len(remote.of("prediction")) == 1


def test_importing_it_imports_no_http_and_no_asyncio(run_script):
    done = run_script("print(*sorted(sys.modules))")

    imported = set(done.stdout.split())
    assert "penstock_client" in imported
    assert not imported & {"http.client", "ssl", "httpx", "asyncio", "email", "numpy", "json"}
