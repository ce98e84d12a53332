"""Where Penstock may send something by itself: to no place but those that an operator named.

Two settings say it. A URL has to begin with one of `PENSTOCK_OUTBOUND_PREFIXES`; and the address
that its name stands for has to be a public one, or in one of `PENSTOCK_OUTBOUND_NETWORKS`: a name
is chosen by whoever owns the domain, and may stand for a machine of ours.
"""

import ipaddress
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

from msgspec import Struct

from streams.errors import ConfigError, InputError

PREFIXES, NETWORKS = "PENSTOCK_OUTBOUND_PREFIXES", "PENSTOCK_OUTBOUND_NETWORKS"
LONGEST = 2_000
PORTS = {"http": 80, "https": 443}

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_PLAIN = re.compile(r"[!-\[\]-~]*")  # ASCII without spaces, controls and backslashes
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?")
_DOTS = re.compile(r"(^|/)(\.|%2e){1,2}(/|$)", re.IGNORECASE)
_NAT64 = IPv6Network("64:ff9b::/96")


class Place(Struct, frozen=True):
    """An HTTP address in its parts; `host` is empty in a prefix that stands for every host."""

    scheme: str
    host: str
    port: int
    path: str
    query: str = ""

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def authority(self) -> str:
        """What the header Host says."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == PORTS[self.scheme] else f"{name}:{self.port}"

    def covers(self, other: "Place") -> bool:
        """Whether `other` begins with this: whole names and whole steps of the path."""
        if self.scheme != other.scheme or (
            self.host and (self.host, self.port) != (other.host, other.port)
        ):
            return False
        rest = other.path.removeprefix(self.path)
        is_within = other.path.startswith(self.path)
        return is_within and (self.path.endswith("/") or rest[:1] in ("", "/"))


class Rules(Struct, frozen=True):
    """What may be sent to; nothing at all unless it is said."""

    prefixes: tuple[Place, ...] = ()
    networks: tuple[Network, ...] = ()

    def allowed(self, url: str) -> Place:
        """The place that `url` names. Raises InputError where nothing may be sent there."""
        place = placed(url)
        if not any(prefix.covers(place) for prefix in self.prefixes):
            shown = f"{place.scheme}://{place.authority}"
            raise InputError(
                f"nothing may be sent to {shown}", field="url", rule="allowed",
                why=f"{PREFIXES} " + ("names other places" if self.prefixes else "is not set"),
                fix=f"set {PREFIXES}={shown}/ for every process of the installation",
            )  # fmt: skip
        return place

    def permits(self, address: Address) -> bool:
        """Whether a connection to this address may be made."""
        inner = _inner(address)
        if any(inner in network for network in self.networks):
            return True
        return inner.is_global and not inner.is_multicast


def read_rules(*, prefixes: str, networks: str) -> Rules:
    """The rules as the two settings give them, their values separated by commas.

    Raises ConfigError that names the setting and the value.
    """
    return Rules(
        tuple(_prefix(each) for each in _parts(prefixes)),
        tuple(_network(each) for each in _parts(networks)),
    )


def placed(url: str) -> Place:
    """The parts of an address. Raises InputError for one that could be read in two ways."""
    try:
        return _placed(url)
    except ValueError as error:
        raise InputError(
            f"{url[:120]!r} is no address that anything is sent to", field="url", rule="url",
            why=str(error), fix="write https://host/path",
        ) from error  # fmt: skip


def _placed(url: str) -> Place:
    if not _PLAIN.fullmatch(url) or len(url) > LONGEST:
        raise ValueError(f"it is not ASCII without spaces, of at most {LONGEST} characters")
    parts = urlsplit(url)
    if parts.scheme not in PORTS:
        raise ValueError("it is neither http:// nor https://")
    if "@" in parts.netloc:
        raise ValueError("it has a user or a password in it")
    if "#" in url:
        raise ValueError("it has a fragment")
    if _DOTS.search(parts.path):
        raise ValueError("its path has a . or .. in it")
    host = (parts.hostname or "").lower()
    if not _NAME.fullmatch(host):
        host = str(ipaddress.ip_address(host))
    port = PORTS[parts.scheme] if parts.port is None else parts.port
    return Place(parts.scheme, host, port, parts.path or "/", parts.query)


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to, if it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _prefix(text: str) -> Place:
    scheme = text.removesuffix("://")
    if scheme in PORTS:
        return Place(scheme, "", PORTS[scheme], "/")
    try:
        return _placed(text)
    except ValueError as error:
        raise ConfigError(
            f"{PREFIXES}: {text!r} is no beginning of an address", why=str(error),
            fix="write https://hooks.example.com/penstock/, or https:// for every public host",
        ) from error  # fmt: skip


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigError(
            f"{NETWORKS}: {text!r} is no network", why=str(error), fix="write 10.1.0.0/16"
        ) from error


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
