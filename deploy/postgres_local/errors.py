"""What can go wrong with a local PostgreSQL."""


class ServerError(Exception):
    """A server did not do what it was asked to; the message says which and why."""


class MissingError(ServerError):
    """PostgreSQL is not there; the message says how to get it."""
