"""A server's address, how to connect to it, and the headers that say when."""

import codecs
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .transport import IMPORTING

if TYPE_CHECKING:  # not a cycle: at run time it is imported by the first request
    from http.client import HTTPConnection

USER_AGENT = "penstock-client/0.1.0"
_LONGEST_WAIT_S = 600.0


class HttpServer:
    """Where a server is and who we are there; ValueError when that cannot be."""

    def __init__(self, url: str, *, key: str | None, ca_file: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"url is {url!r}; must be http://host or https://host")
        if parts.username or parts.query or parts.fragment:
            raise ValueError("url must hold no user, query or fragment")
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
            raise ValueError("key holds characters that no key has")
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port
        self._ca_file = ca_file
        self.base = parts.path.rstrip("/")
        self.headers = {"User-Agent": USER_AGENT}
        if key is not None:
            self.headers["Authorization"] = f"Bearer {key}"

    def connect(self, timeout_s: float) -> "HTTPConnection":
        """A connection that opens with its first request; each piece of an answer may take so long.

        The standard library's HTTP is imported here: it costs 25 ms where httpx costs 170 ms.
        """
        with IMPORTING:
            from http.client import HTTPConnection, HTTPSConnection

            codecs.lookup("idna")  # imported by the first look-up of a host
        if not self._secure:
            return HTTPConnection(self._host, self._port, timeout=timeout_s)
        with IMPORTING:
            from ssl import create_default_context
        context = create_default_context(cafile=self._ca_file)
        return HTTPSConnection(self._host, self._port, timeout=timeout_s, context=context)


def retry_after_s(header: str | None) -> float | None:
    """Retry-After in seconds, from a number or a date; at most ten minutes, None if unreadable."""
    if header is None:
        return None
    try:
        wait_s = float(header)
    except ValueError:
        at_s = date_s(header)
        if at_s is None:
            return None
        wait_s = at_s - time.time()
    return min(max(0.0, wait_s), _LONGEST_WAIT_S)  # in this order NaN becomes 0


def date_s(header: str | None) -> float | None:
    """The seconds UTC of an HTTP date, None if unreadable."""
    if header is None:
        return None
    with IMPORTING:
        from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(header).timestamp()
    except (TypeError, ValueError):
        return None
