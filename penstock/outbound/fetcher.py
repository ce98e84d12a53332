"""The one way by which something leaves Penstock for an address that somebody gave.

By the rules, to the address that was checked, in a bounded time; of the answer no more is read
than is shown. A redirect is an answer like any other: nobody follows it.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from ssl import SSLContext

import httpcore
import httpx
from msgspec import Struct

from penstock.outbound.network import Checked
from penstock.outbound.rules import Rules
from streams.errors import UnavailableError

PATIENCE_S = 10.0
SHOWN_BYTES = 512
BROKEN = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError)


class Answer(Struct, frozen=True):
    """What was answered: its status, and of a refusal how its body begins."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    begins: str = ""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


class Fetcher:
    """Sends by `rules`, each time with at most `patience_s` from first to last. Thread-safe."""

    def __init__(self, rules: Rules, *, patience_s: float = PATIENCE_S) -> None:
        self.rules = rules
        self._patience_s = patience_s

    def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
        """What `url` answers to `body`.

        Raises:
            InputError: nothing may be sent there, by its URL or by its address.
            UnavailableError: it does not answer in time, or not in HTTP.
        """
        place = self.rules.allowed(url)
        where = httpcore.URL(
            scheme=place.scheme, host=place.host, port=place.port, target=place.target
        )
        network = Checked(self.rules.permits, deadline_s=time.monotonic() + self._patience_s)
        given = {"Host": place.authority, "Content-Length": str(len(body)), **headers}
        try:
            with (
                httpcore.HTTPConnection(
                    where.origin, ssl_context=self._trusted, network_backend=network
                ) as connection,
                connection.stream(
                    "POST", where, headers=list(given.items()), content=body
                ) as response,
            ):
                return _answer(response)
        except httpcore.TimeoutException as error:
            raise UnavailableError(
                f"{place.authority} did not answer within {self._patience_s:g} s"
            ) from error
        except BROKEN as error:
            raise UnavailableError(
                f"{place.authority} cannot be reached: {error or type(error).__name__}"
            ) from error

    @cached_property
    def _trusted(self) -> SSLContext:
        """Certificates of public authorities, or those that SSL_CERT_FILE names."""
        return httpx.create_ssl_context()


def _answer(response: httpcore.Response) -> Answer:
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
    }
    if 200 <= response.status < 300:
        return Answer(response.status, headers)
    begins = b""
    with suppress(*BROKEN):  # the status was said, and counts
        for piece in response.iter_stream():
            begins += piece
            if len(begins) >= SHOWN_BYTES:
                break
    text = begins[:SHOWN_BYTES].decode(errors="replace").replace("\0", "")
    return Answer(response.status, headers, text.strip())
