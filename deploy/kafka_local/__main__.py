"""`make kafka`: a broker in the foreground until Ctrl-C."""

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from pathlib import Path

from deploy.kafka_local import USERS, BrokerError, Cluster, Options
from deploy.kafka_local.certificates import GOOD
from deploy.kafka_local.ports import is_free


def main() -> int:
    """The cluster ran and is gone; 1 if it could not."""
    arguments = _arguments()
    # As Ctrl-C, also where a shell that runs it in the background has it ignored.
    for asked in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, signal.default_int_handler)
    with contextlib.ExitStack() as ends:
        data = arguments.data
        if data is None:
            made = tempfile.TemporaryDirectory(prefix="kafka-local-")
            data = Path(ends.enter_context(made))
        try:
            _run(arguments, data)
        except BrokerError as error:
            print(f"kafka: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            pass
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make kafka", description=__doc__)
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=1, help="brokers (1)")
    parser.add_argument("--port", type=int, default=9092, help="of the first node (9092)")
    parser.add_argument("--data", type=Path, help="keep the records there (gone after the end)")
    parser.add_argument("--wipe", action="store_true", help="begin with nothing in --data")
    parser.add_argument("--tls", action="store_true", help="a TLS + SCRAM-SHA-512 listener too")
    parser.add_argument("--acls", action="store_true", help="rights are asked for on it")
    return parser.parse_args()


def _run(arguments: argparse.Namespace, data: Path) -> None:
    """It ran until it was interrupted, or until a node ended by itself."""
    ports = range(arguments.port, arguments.port + arguments.nodes)
    taken = [port for port in ports if not is_free(port)]
    if taken:
        another = f"make kafka ARGS='--port {arguments.port + 1000}'"
        raise BrokerError(f"port {taken[0]} is taken; name another: {another}")
    shown = (GOOD,) if arguments.tls or arguments.acls else ()
    options = Options(nodes=arguments.nodes, certificates=shown, acls=arguments.acls)
    cluster = Cluster(data, options, ports=ports)
    if arguments.wipe:
        cluster.wipe()
    with cluster:
        print(f"kafka: {_places(cluster)}; {_records(arguments)}; Ctrl-C stops it", flush=True)
        while all(node.running for node in cluster.nodes):
            time.sleep(0.5)
        (gone,) = [node for node in cluster.nodes if not node.running][:1]
        raise BrokerError(f"node {gone.number} ended by itself:\n{gone.log()}")


def _places(cluster: Cluster) -> str:
    if not cluster.options.certificates:
        return cluster.address
    by_tls = ",".join(cluster.client("worker")["bootstrap_servers"])
    users = " ".join(f"{name}/{password}" for name, password in USERS.items())
    return f"{cluster.address}, by TLS {by_tls} (trust {cluster.trusted}; users {users})"


def _records(arguments: argparse.Namespace) -> str:
    return f"records stay in {arguments.data}" if arguments.data else "records go when it ends"


if __name__ == "__main__":
    sys.exit(main())
