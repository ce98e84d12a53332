import threading

import pytest

from penstock.control import LEASE, Control, Duty
from penstock.installation import opened, prepare
from penstock.settings import Settings
from streams.db import leases
from streams.db.engine import writing
from streams.errors import UnavailableError
from tests.penstock.test_supervisor import eventually


@pytest.fixture
def engine(tmp_path):
    settings = Settings(data_dir=tmp_path)
    prepare(settings)
    with opened(settings) as here:
        yield here.engine


@pytest.fixture
def running():
    """Starts controls in threads of their own and ends them."""
    stop, threads = threading.Event(), []

    def start(control):
        threads.append(threading.Thread(target=control.run, args=(stop,)))
        threads[-1].start()
        return control

    yield start
    stop.set()
    for thread in threads:
        thread.join(10)


def counting(done, name="count", **behaviour):
    def run():
        done.append(name)
        if "error" in behaviour:
            raise behaviour["error"]
        return behaviour.get("more", False)

    return Duty(name, 0.01, run)


def test_duties_are_done_again_and_again_under_the_lease(engine, running):
    done = []

    control = running(Control(engine, [counting(done)], owner="a"))

    assert eventually(lambda: len(done) >= 3, 5)
    assert control.holds.is_set()


def test_of_two_only_one_works(engine, running):
    with writing(engine) as connection:
        leases.acquire(connection, name=LEASE, owner="other", now_ms=2**50, lease_ms=1)
    done = []

    control = running(Control(engine, [counting(done)], owner="a"))

    assert not eventually(lambda: bool(done), 0.5)
    assert not control.holds.is_set()


def test_a_duty_that_fails_is_tried_again_and_keeps_no_other_waiting(engine, running):
    failed, done = [], []
    duties = [counting(failed, error=UnavailableError("away")), counting(done)]

    running(Control(engine, duties, owner="a"))

    assert eventually(lambda: len(done) >= 5 and len(failed) >= 2, 5)


def test_a_duty_with_more_to_do_goes_on_at_once(engine, running):
    done = []
    duty = Duty("drain", 60.0, lambda: done.append(1) or len(done) < 50)

    running(Control(engine, [duty], owner="a"))

    assert eventually(lambda: len(done) == 50, 5)


def test_the_lease_is_free_at_the_end(engine):
    stop = threading.Event()
    control = Control(engine, [Duty("end", 0.01, stop.set)], owner="a")

    control.run(stop)

    with writing(engine) as connection:
        assert leases.acquire(connection, name=LEASE, owner="b", now_ms=0, lease_ms=1) is not None
