"""Who may come in: the Host and Origin of a request, and the API key it carries.

Until the first key is made, clients on this machine need none. Then the only things between a
web page in somebody's browser and this server are the Host allow-list (a page that points its
own name at 127.0.0.1 sends that name) and the Origin check, so they hold for every request that
brings no key.
"""

import asyncio
import ipaddress
import time
from collections.abc import Collection
from contextlib import suppress

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.web.problems import Problem, respond, trace_id
from streams.errors import UnavailableError
from streams.keys import REREAD_MS, KeyRing, Principal

LOCAL_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))
PROBES = frozenset(("/healthz", "/readyz"))
API = ("/v1/", "/ofrep/v1/")
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
EVERY_HOST = "*"
RETRY_AFTER_S = 1
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Door:
    """Lets in only requests for a name of ours, and changes only from pages of ours.

    A request to the API with a bearer key passes: the API asks whose it is, and no page of
    another site can know one. Probes pass too: an orchestrator asks by address.
    """

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = LOCAL_NAMES | {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = self._refusal(scope) if scope["type"] == "http" else None
        if problem is None:
            await self._app(scope, receive, send)
        else:
            await respond(problem, scope["path"], trace_id())(scope, receive, send)

    def _refusal(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        if scope["path"] in PROBES or (scope["path"].startswith(API) and bearer(headers)):
            return None
        host = headers.get("host", "").lower()
        if EVERY_HOST not in self._names and host_name(host) not in self._names:
            return Problem("unknown-host", f"{host[:80]!r} is not a name of this server")
        if scope["method"] in SAFE_METHODS:
            return None
        origin = headers.get("origin")
        is_foreign = origin is not None and origin.lower().partition("://")[2] != host
        if is_foreign or headers.get("sec-fetch-site", "none") in ("cross-site", "same-site"):
            return Problem("foreign-origin", f"Origin {(origin or '')[:80]!r} is not this server")
        return None


async def principal(request: Request, keys: KeyRing) -> Principal:
    """Who sends `request`; raises Problem when nobody may."""
    if keys.required is None:
        with suppress(UnavailableError):
            await run_in_threadpool(keys.refresh_soon, _now_ms())
        if keys.required is None:
            raise Problem("keys-unavailable", retry_after_s=RETRY_AFTER_S)
    token = bearer(request.headers)
    if token:
        known = keys.authenticate(token, _now_ms())
        if known is None:
            # It may have been made since the ring was read. After this pause the ring is either
            # younger than the request, or old enough to be read again.
            await asyncio.sleep(REREAD_MS / 1000)
            await run_in_threadpool(keys.refresh_soon, _now_ms())
            known = keys.authenticate(token, _now_ms())
        if known is None:
            raise Problem("key-unknown", headers=_CHALLENGE)
        return known
    if keys.required:
        raise Problem("key-required", "this installation has keys: send one", headers=_CHALLENGE)
    if not is_local(request):
        raise Problem(
            "key-required",
            "without a key only clients on this machine may send",
            headers=_CHALLENGE,
        )
    return Principal(None)


async def reader(request: Request, keys: KeyRing) -> None:
    """Whoever is on this machine may read, others with any key; raises Problem."""
    if bearer(request.headers) or not is_local(request):
        await principal(request, keys)


def bearer(headers: Headers) -> str:
    """The key that the Authorization header carries, or an empty string."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def is_local(request: Request) -> bool:
    """Whether the client is on this machine, and not behind a proxy that is."""
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def host_name(host: str) -> str:
    """The name in a Host header, without its port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
