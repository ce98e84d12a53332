"""What a room of the house brings to intake: a pure fold from facts to deltas."""

from typing import Any, Protocol

from sqlalchemy import Connection

from streams.facts import Facts


class Collector(Protocol):
    """A fold over facts: no I/O, no clock, no randomness in `collect`.

    Law (property-tested for every collector): cutting the input into other batches, repeating
    it, or reordering it within the allowed lateness never changes what is saved.
    """

    name: str

    def plans(self, connection: Connection) -> Any:
        """What `collect` needs to know, read at the start of a process and when plans change."""
        ...

    def collect(self, facts: Facts, plans: Any) -> Any:
        """What these facts add."""
        ...

    def save(self, connection: Connection, deltas: Any) -> None:
        """The deltas are in the store; runs in intake's own transaction."""
        ...
