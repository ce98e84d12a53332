"""What the sender needs of a way to the server, and what the way says became of the lines."""

from enum import Enum
from threading import RLock
from typing import NamedTuple, Protocol

import msgspec

# Held while a client library is being imported: a fork in the middle of it would leave the child
# half a module.
IMPORTING = RLock()


class Fate(Enum):
    """What becomes of the lines of a request."""

    SETTLED = "taken, or rejected one by one"
    REFUSED = "refused as a whole; never to be sent again"
    LATER = "the server is away or busy; to be sent again"
    DENIED = "the key or the address is wrong; to be sent again, but rarely"


class Rejected(msgspec.Struct, frozen=True):
    """One line that the server did not take."""

    index: int
    code: str = "unknown"
    detail: str = ""
    retryable: bool = False


class Reply(NamedTuple):
    """What the server made of a request."""

    fate: Fate
    code: str  # for people: the status, or the kind of failure
    accepted: int = 0
    duplicate: int = 0
    rejected: tuple[Rejected, ...] = ()
    wait_s: float | None = None  # what the server asked for


class Transport(Protocol):
    """A way to one server, opened when it is needed; used by one thread at a time."""

    def post(self, lines: list[bytes]) -> Reply:
        """The lines were sent in one request, or the reply says why they were not."""
        ...

    def close(self) -> None:
        """The connection is gone; the next request opens another."""
        ...

    def abandon(self) -> None:
        """In a forked child: sockets and threads are the parent's; nothing here touches them."""
        ...
