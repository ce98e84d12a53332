"""A real PostgreSQL on this machine, for development and tests; see README.md beside this file."""

from deploy.postgres_local.binaries import Account, Binaries, find
from deploy.postgres_local.errors import MissingError, ServerError
from deploy.postgres_local.server import USER, Server

__all__ = ["USER", "Account", "Binaries", "MissingError", "Server", "ServerError", "find"]
