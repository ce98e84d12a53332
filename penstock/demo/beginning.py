"""Which story a run tells: a new one, one that was stopped, or more of one that ended."""

import socket

import msgspec

from penstock.demo import script
from penstock.demo.folder import Folder, Story
from penstock.demo.journal import Book, Reader
from streams.errors import ConfigError, UnavailableError

SEED = 7
PORT = 8090
_WHERE = {False: "on the embedded log", True: "on a cluster"}


class Length(msgspec.Struct, frozen=True):
    """How much is told, and how fast the days pass in it."""

    requests: int
    rate_per_s: int
    speed: float


WHOLE = Length(requests=6_000, rate_per_s=100, speed=20.0)
QUICK = Length(requests=1_000, rate_per_s=100, speed=60.0)


def length(*, quick: bool, speed: float | None) -> Length:
    """What was asked for; `speed` overrides that of the length."""
    chosen = QUICK if quick else WHOLE
    return chosen if speed is None else msgspec.structs.replace(chosen, speed=speed)


def story(
    folder: Folder, length: Length, *, seed: int | None, port: int | None, cluster: bool = False
) -> Story:
    """The story that this run tells. The seed of a folder cannot be changed, its pace can."""
    kept = folder.kept()
    goal = length.requests
    if kept is not None:
        if seed not in (None, kept.seed):
            raise ConfigError(
                f"{folder.root} holds a story with seed {kept.seed}, not {seed}",
                fix="another folder with --data, or no --seed",
            )
        if cluster != kept.cluster:
            raise ConfigError(
                f"{folder.root} holds a story that was told {_WHERE[kept.cluster]}",
                fix="another folder with --data",
            )
        is_told = told(Reader(folder.journal).read(), kept)
        goal, seed = kept.goal + (goal if is_told else 0), kept.seed
    return Story(
        seed=SEED if seed is None else seed,
        goal=goal,
        rate_per_s=length.rate_per_s,
        speed=length.speed,
        port=_port(port, PORT if kept is None else kept.port),
        cluster=cluster,
    )


def told(book: Book, story: Story) -> bool:
    """Every request was served, and everything was done about them."""
    if len(book.served) < story.goal:
        return False
    deeds = sum(len(script.request(story.seed, n).deeds) for n in range(story.goal))
    return len(book.done) >= deeds


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
