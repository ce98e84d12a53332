"""A service, its people and Penstock: whose answer is acted on in a supervised stage.

Web, intake and control are those of `penstock up`, the service uses the real client, the people the
command line.
"""

import json
import signal
import threading
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from urllib.request import urlopen

import penstock_client
import pytest

from penstock.cli import main
from tests.cli.conftest import Up, free_port
from tests.penstock.test_supervisor import eventually

MODEL = """
model: spam
task: classification
classes: [ham, spam]
slices:
  - {name: br, where: [{tag: country, is: BR}]}
"""
SPEC = """
apiVersion: penstock/v1
kind: ModelRollout
metadata: {name: NAME}
spec:
  model: spam
  route: NAME
  champion: {version: "41"}
  challengers: [{version: "42"}]
  metrics:
    - {name: errors, from: prediction, stat: rate, margin: {absolute: 0.1}}
  guardrails: [errors]
  stages:
    - supervised: {weight: 50, where: {tag: country, in: [BR]}, confirmWithin: WITHIN,
                   min: {units: 3}, deadline: 3d}
    - canary: {weights: [60], dwell: 1h, require: guardrails, deadline: 4d}
"""
PATIENT, RESTLESS, HASTY = "patient", "restless", "hasty"  # routes; the last gives people a second


class Shop:
    """A running installation, with a rollout in its supervised stage on each route."""

    def __init__(self, folder):
        self._folder = folder
        self.up = Up(folder / "data", free_port())

    def begin(self):
        self.up.ready()
        self.run("model", "register", "-f", str(self._written("model.yaml", MODEL)))
        for version in ("41", "42"):
            self.run("model", "add-version", "spam", version, "--digest", version * 32)
        for name, within in ((PATIENT, "10m"), (RESTLESS, "10m"), (HASTY, "1s")):
            text = SPEC.replace("NAME", name).replace("WITHIN", within)
            spec = str(self._written(f"{name}.yaml", text))
            self.run("rollout", "create", spec, "--reason", "a story")
            self.run("rollout", "start", name, "--reason", "a story", "-y")

    def _written(self, name, text):
        path = self._folder / name
        path.write_text(text)
        return path

    def run(self, *args, code=0):
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
            patch.setenv("PENSTOCK_DATA_DIR", str(self.up.folder))
            assert main.run(list(args)) == code, (args, out.getvalue(), err.getvalue())
        return out.getvalue(), err.getvalue()

    def service(self, route):
        return Service(self.up.url, route, self._folder / "state")

    def waiting(self, count=1):
        """The open reviews, once there are so many."""
        found = []

        def there():
            with suppress(OSError), urlopen(f"{self.up.url}/v1/reviews", timeout=5) as answer:
                found[:] = json.load(answer)["items"]
            return len(found) == count

        assert eventually(there, 60), found
        return found


class Service:
    """Asks 42 in its lane, and 41 else; acts on what `review` says."""

    def __init__(self, url, route, state_dir):
        self.client = penstock_client.Client(
            url, "spam", champion="41", route=route, state_dir=state_dir,
            limits=penstock_client.Limits(backoff_min_s=60),  # but for who waits for a review
        )  # fmt: skip

    def request(self, timeout_s):
        """A request of the challenger's lane in scope; the review, once there is one."""
        assert eventually(lambda: self.client.assign("u", {"country": "BR"}).route_version, 20)
        given = next(
            each for _ in range(200) if (each := self.client.assign("u", {"country": "BR"})).confirm
        )
        self.client.record(
            given, label="spam", score=0.91, role="proposed", features={"amount": 12}
        )
        found = self.client.review(given, timeout_s=timeout_s)
        self.client.record(given, label="spam" if found.confirmed else "ham",
                           score=0.91, version=found.version)  # fmt: skip
        return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("shop"))
    try:
        shop.begin()
        yield shop
    finally:
        shop.up.stop()


def in_the_meantime(work, *args):
    """Runs `work`; its result is under "found" once the thread has ended."""
    told = {}
    thread = threading.Thread(target=lambda: told.update(found=work(*args)))
    thread.start()
    return thread, told


@pytest.mark.slow
def test_people_say_whose_answer_is_acted_on(shop):
    service = shop.service(PATIENT)
    acted = []
    for action in ("confirm", "refuse"):
        thread, told = in_the_meantime(service.request, 60)
        [asked] = shop.waiting()
        reason = () if action == "confirm" else ("--reason", "no spam at all", "--label", "ham")
        shop.run("review", action, asked["id"], *reason, "-y")
        thread.join()
        acted.append((told["found"].state, told["found"].version, told["found"].label))
        assert (asked["proposed"], asked["answer"]["features"]) == ("spam 0.91", {"amount": 12})
        _, why = shop.run("review", "confirm", asked["id"], "-y", code=5)
        assert f"{action.removesuffix('e')}ed it before" in why
    service.client.close()

    assert acted == [("confirmed", "42", None), ("refused", "41", "ham")]
    told = ("reviews of 42: 1 confirmed, 1 refused (50 %)", "42: 2 of 3 units reviewed")
    assert eventually(  # control looks each second
        lambda: all(each in shop.run("rollout", "get", PATIENT)[0] for each in told), 10
    )


@pytest.mark.slow
def test_when_nobody_answers_the_champions_answer_is_acted_on_and_stays(shop):
    service = shop.service(HASTY)

    found = service.request(60)

    service.client.close()
    assert (found.state, found.version) == ("timed-out", "41")
    assert json.loads(shop.run("review", "list", "-o", "json")[0]) == []
    [late] = json.loads(shop.run("review", "list", "--state", "timed-out", "-o", "json")[0])
    _, why = shop.run("review", "confirm", late["id"], "-y", code=3)
    assert "what is a review that is timed-out does not accept a confirmation" in why


@pytest.mark.slow
def test_penstock_killed_in_the_middle_is_the_champion_and_a_rollback_withdraws_the_rest(shop):
    service = shop.service(RESTLESS)
    thread, told = in_the_meantime(service.request, 6)
    [first] = shop.waiting()
    shop.up.stop(signal.SIGKILL)
    thread.join()
    assert (told["found"].state, told["found"].version) == ("away", "41")

    back, confirmed = in_the_meantime(service.request, 120)  # Penstock is away, and comes back
    shop.up = Up(shop.up.folder, shop.up.port).ready()
    [second] = [each for each in shop.waiting(2) if each["id"] != first["id"]]
    shop.run("review", "confirm", second["id"], "-y")
    back.join()
    gone, withdrawn = in_the_meantime(service.request, 60)
    shop.waiting(2)
    shop.run("rollout", "rollback", RESTLESS, "--reason", "enough", "-y")
    gone.join()
    service.client.close()

    assert (confirmed["found"].state, confirmed["found"].version) == ("confirmed", "42")
    assert (withdrawn["found"].state, withdrawn["found"].version) == ("withdrawn", "41")
    assert shop.waiting(0) == []
