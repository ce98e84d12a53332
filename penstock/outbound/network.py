"""Connections to addresses that were checked, which end when their time is over.

A name is looked up once: the addresses found are checked, and the one connected to is one of
them. What a certificate is held against stays the name.
"""

import ipaddress
import socket
import time
from collections.abc import Callable, Iterable
from ssl import SSLContext
from typing import Any

import httpcore
from httpcore import SOCKET_OPTION

from penstock.outbound.rules import NETWORKS, Address
from streams.errors import InputError


class Checked(httpcore.NetworkBackend):
    """Connects where `permits` says so, until `deadline_s` of the monotonic clock."""

    def __init__(self, permits: Callable[[Address], bool], *, deadline_s: float) -> None:
        self._permits = permits
        self._deadline_s = deadline_s

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline is for all steps together
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first address of `host` that may be had and answers.

        Raises InputError where none may be, httpcore's errors otherwise.
        """
        found = _addresses(host, port)
        allowed = [address for address in found if self._permits(address)]
        if not allowed:
            raise InputError(
                f"{host} is {found[0]}, which is no public address", field="url", rule="public",
                why="who owns the name could have us call machines that only we can reach",
                fix=f"if it is meant, set {NETWORKS}={found[0]}/{found[0].max_prefixlen}",
            )  # fmt: skip
        for left in range(len(allowed), 1, -1):
            try:
                return self._connected(
                    allowed[-left], port, 1 / left, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._connected(allowed[-1], port, 1.0, local_address, socket_options)

    def _connected(
        self,
        address: Address,
        port: int,
        share: float,
        local_address: str | None,
        options: Iterable[SOCKET_OPTION] | None,
    ) -> httpcore.NetworkStream:
        """A connection, for which that share of the time that is left may be taken."""
        patience_s = share * _left(self._deadline_s, httpcore.ConnectTimeout)
        stream = httpcore.SyncBackend().connect_tcp(
            str(address), port, patience_s, local_address, options or ()
        )
        return _Timed(stream, self._deadline_s)


class _Timed(httpcore.NetworkStream):
    """A stream whose every step has what is left of the time, however many there are."""

    def __init__(self, stream: httpcore.NetworkStream, deadline_s: float) -> None:
        self._stream = stream
        self._deadline_s = deadline_s

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, _left(self._deadline_s, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, _left(self._deadline_s, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        left_s = _left(self._deadline_s, httpcore.ConnectTimeout)
        stream = self._stream.start_tls(ssl_context, server_hostname, left_s)
        return _Timed(stream, self._deadline_s)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _addresses(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"{host} has no address: {error}") from error
    return [ipaddress.ip_address(where[0]) for *_, where in found]


def _left(deadline_s: float, late: type[httpcore.TimeoutException]) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise late("its time is over")
    return left_s
