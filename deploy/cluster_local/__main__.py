"""`make cluster`: Kafka, PostgreSQL and every role of docker-compose.yml, until Ctrl-C."""

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from deploy.cluster_local.cluster import Cluster, Options
from deploy.cluster_local.places import PORTS, require_own
from deploy.kafka_local import BrokerError
from deploy.postgres_local import ServerError
from penstock.greeting import first_event
from streams.errors import Error


def main(words: Sequence[str]) -> int:
    """The cluster ran and is gone; 1 if it could not. `words` are the arguments of the command."""
    arguments = _arguments(words)
    for asked in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(asked, _interrupt)
    try:
        _run(arguments)
    except (BrokerError, ServerError) as error:
        _say(str(error))
        return 1
    except Error as error:
        _say("\n".join(filter(None, (error.message, error.why, error.fix))))
        return 1
    except KeyboardInterrupt:
        _say("everything has ended")
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Once: what follows must not cut off the ending."""
    for asked in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(asked, signal.SIG_IGN)
    raise KeyboardInterrupt


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make cluster", description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="how many (2)")
    parser.add_argument("--port", type=int, help="of the web role (8080 if it is free)")
    parser.add_argument(
        "--data", type=Path, default=Path(".cluster"), help="everything is kept there (.cluster)"
    )
    parser.add_argument("--wipe", action="store_true", help="begin with nothing in --data")
    parser.add_argument(
        "--prometheus", action="store_true", help="the machine's own Prometheus watches it"
    )
    found = parser.parse_args(words)
    if found.workers < 1:
        parser.error("--workers: at least one")
    return found


def _run(arguments: argparse.Namespace) -> None:
    """It ran until it was interrupted, or until the broker or the database ended by itself."""
    data: Path = arguments.data
    require_own(data)
    if arguments.wipe:
        _wipe(data)
    options = Options(arguments.workers, arguments.port, arguments.prometheus)
    cluster = Cluster(data, options, say=_say)
    with cluster.up():
        for name, place in cluster.places():
            _say(f"  {name:<12}{place}")
        _say(f"Penstock runs at {cluster.settings.url}, its data in {cluster.folder}")
        _say("send the first event from another terminal:")
        _say(f"  {first_event(cluster.settings.url)}")
        _say(f"then: . {cluster.env_file}; penstock events counts     Ctrl-C here ends everything")
        while not (why := cluster.failed()):
            time.sleep(0.5)
        raise BrokerError(why)


def _wipe(data: Path) -> None:
    """Nothing of a cluster is left in the folder."""
    for name in ("kafka", "postgres", "penstock", "prometheus", "log"):
        shutil.rmtree(data / name, ignore_errors=True)
    (data / PORTS).unlink(missing_ok=True)


def _say(text: str) -> None:
    print(f"cluster: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
