"""Ports that nobody else has."""

import random
import socket

from deploy.kafka_local.errors import BrokerError
from deploy.kafka_local.properties import HOST

# Below what systems give to outgoing connections: a client that retries while the broker is away
# could otherwise be given the broker's own port, connect to itself and keep it.
_RANGE = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """So many ports, all different, that nothing listens on."""
    tried = random.SystemRandom().sample(_RANGE, len(_RANGE))
    found: list[int] = []
    while len(found) < count and tried:
        port = tried.pop()
        if is_free(port):
            found.append(port)
    if len(found) < count:
        raise BrokerError(f"{count} free ports are not to be had")
    return found


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def listens(port: int) -> bool:
    """Whether something takes connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0
