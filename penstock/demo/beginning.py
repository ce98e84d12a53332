"""Which story a run tells: a new one, or one that was stopped."""

import socket

from penstock.demo.folder import Folder, Story
from penstock.demo.models import Fault
from streams.errors import ConfigError, UnavailableError

SEED = 7
SPEED, CLUSTER_SPEED = 600.0, 60.0
RATE_PER_S = 150
PORT = 8090
_WHERE = {False: "on the embedded log", True: "on a cluster"}


def story(
    folder: Folder, *, seed: int | None, fault: Fault | None, speed: float | None,
    port: int | None, cluster: bool = False,
) -> Story:  # fmt: skip
    """The story that this run tells. What a folder's is about cannot be changed, its pace can."""
    kept = folder.kept()
    if kept is not None:
        for name, asked, stands in (("seed", seed, kept.seed), ("fault", fault, kept.fault)):
            if asked not in (None, stands):
                raise ConfigError(
                    f"{folder.root} holds a story with {name} {stands}, not {asked}",
                    fix=f"another folder with --data, or no --{name}",
                )
        if cluster != kept.cluster:
            raise ConfigError(
                f"{folder.root} holds a story that was told {_WHERE[kept.cluster]}",
                fix="another folder with --data",
            )
        seed, fault = kept.seed, kept.fault
    return Story(
        seed=SEED if seed is None else seed,
        fault=fault or "labels",
        rate_per_s=RATE_PER_S,
        speed=speed or (CLUSTER_SPEED if cluster else SPEED),
        port=_port(port, PORT if kept is None else kept.port),
        cluster=cluster,
    )


def _port(asked: int | None, kept: int) -> int:
    """The port that was asked for, else the one of before if it is free, else any."""
    for port in (kept, 0) if asked is None else (asked,):
        try:
            with socket.create_server(("127.0.0.1", port)) as listener:
                free: int = listener.getsockname()[1]
                return free
        except OSError:
            continue
    raise UnavailableError(f"port {asked} is taken", fix="name another with --port, or none")
