"""Every setting of an installation, read once from the environment.

`PENSTOCK_<FIELD>` sets a field; `PENSTOCK_<FIELD>_FILE` names a file that holds it, for those
that may be secret. `docs/settings.md` explains each; a test keeps the two together.
"""

import dataclasses
import difflib
import ipaddress
import math
from collections.abc import Mapping
from pathlib import Path
from typing import get_type_hints
from urllib.parse import unquote, urlsplit

from streams.errors import ConfigError

PREFIX = "PENSTOCK_"
MIB = 1024 * 1024
DAY_MS = 86_400_000
SECRET_FIELDS = ("database_url", "kafka_password", "mlflow_token")
"""May come from a file, and are never printed."""

ENGINES = ("kafka-python", "faust")

OTHER_NAMES = frozenset({"PENSTOCK_PIN", "PENSTOCK_CLIENT_DIR", "PENSTOCK_KEY", "PENSTOCK_SERVER"})
"""Names that the client and the command line read for themselves."""

OTHER_PREFIXES = ("PENSTOCK_TEST_", "PENSTOCK_CLIENT_")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What one installation runs with."""

    # Where the embedded log, the SQLite results, model files and the lock live.
    data_dir: Path = Path(".penstock")
    # Results: sqlite:///file or postgresql://...; empty means penstock.db in the data folder.
    database_url: str = ""

    # Kafka brokers, host:port separated by commas; empty means the embedded log.
    kafka_servers: str = ""
    # What its topics and groups begin with, where several installations share a cluster.
    kafka_prefix: str = "penstock."
    # PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.
    kafka_security: str = "PLAINTEXT"
    # Who the brokers' certificates are signed by, and our own certificate and key, as PEM files.
    kafka_ca_file: str = ""
    kafka_cert_file: str = ""
    kafka_key_file: str = ""
    # PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, with user and password.
    kafka_sasl: str = ""
    kafka_user: str = ""
    kafka_password: str = ""
    # lz4, gzip or none, for what is written to Kafka.
    kafka_compression: str = "lz4"
    # What a worker reads Kafka with: kafka-python or faust.
    engine: str = "kafka-python"
    # What this process is called in Kafka's groups: stable over restarts, its own on a cluster.
    worker: str = ""

    # Sessions that a web process opens on PostgreSQL at most.
    web_connections: int = 10

    # Where pages and ingest listen. Without an API key only a loopback address is accepted.
    host: str = "127.0.0.1"
    port: int = 8080
    # Host names browsers and clients may use besides the address itself, separated by commas.
    allowed_hosts: str = ""

    # Where a worker and control tell health and metrics; 0: nowhere. Web does so on its own port.
    ops_host: str = "127.0.0.1"
    ops_port: int = 0
    # text or json, a line each; empty: text on a terminal, json for a program to collect.
    log_format: str = ""
    # debug, info, warning or error: what is worth a line.
    log_level: str = "info"

    # Partitions of each new topic; fixed once a topic exists.
    partitions: int = 12
    # How long the log keeps records. Payloads of sampled items are read from it.
    log_retention_ms: int = 7 * DAY_MS
    # How much the log keeps of each topic.
    log_retention_bytes: int = 20 * 1024 * MIB
    # How long a rejected event can be looked at and sent again.
    dead_letter_retention_ms: int = 7 * DAY_MS

    # How far events of a partition may be out of order before they count as late.
    lateness_ms: int = 120_000

    # Ingest refuses a larger body, and one that is four times as large once decompressed.
    ingest_body_bytes: int = MIB
    # Ingest refuses a batch of more events.
    ingest_batch_count: int = 1000
    # Ingest collects the requests of one key this long before it commits them together.
    group_commit_ms: int = 5
    # Ingest answers 503 while more log bytes than this wait for intake.
    high_water_bytes: int = 512 * MIB
    # Ingest answers 503 while the disk has less free, so that decisions can still be written.
    disk_reserve_bytes: int = 512 * MIB
    # Events per second that one API key may send; 0 means no limit.
    key_rate_per_s: float = 0.0

    # An MLflow server whose registry versions come from, and a token for it.
    mlflow_url: str = ""
    mlflow_token: str = ""

    # Where webhooks may lead: beginnings of addresses, separated by commas; empty: nowhere.
    outbound_prefixes: str = ""
    # Networks that are not public and may be sent to all the same, separated by commas.
    outbound_networks: str = ""

    # Milliseconds of the domain clock per millisecond of the wall's; other than 1 in the demo.
    speed: float = 1.0

    @property
    def database(self) -> str:
        """The URL of the results, whether it was given or not."""
        return self.database_url or f"sqlite:///{self.data_dir / 'penstock.db'}"

    @property
    def log_path(self) -> Path:
        return self.data_dir / "log.db"

    @property
    def files_dir(self) -> Path:
        return self.data_dir / "files"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be printed, wherever it turns up."""
        password = urlsplit(self.database_url).password
        given = (
            self.database_url, password, password and unquote(password), self.kafka_password,
            self.mlflow_token,
        )  # fmt: skip
        return tuple(sorted(filter(None, given), key=len, reverse=True))

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach `host`."""
        return self.host == "localhost" or _is_loopback(self.host)

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the pages."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host and host[0] != '[' else host}:{self.port}"


_ONE_OF: dict[str, tuple[str, ...]] = {
    "kafka_security": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    "kafka_sasl": ("", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
    "engine": ENGINES,
    "kafka_compression": ("lz4", "gzip", "none"),
    "log_format": ("", "text", "json"),
    "log_level": ("debug", "info", "warning", "error"),
}
_AT_LEAST: dict[str, float] = {
    "web_connections": 1,
    "port": 1,
    "partitions": 1,
    "log_retention_ms": DAY_MS,
    "log_retention_bytes": 64 * MIB,
    "dead_letter_retention_ms": 60_000,
    "lateness_ms": 0,
    "ingest_body_bytes": 1024,
    "ingest_batch_count": 1,
    "group_commit_ms": 0,
    "high_water_bytes": MIB,
    "disk_reserve_bytes": 0,
    "key_rate_per_s": 0,
}
_AT_MOST: dict[str, float] = {
    "web_connections": 500,
    "port": 65_535,
    "ops_port": 65_534,
    "partitions": 256,
    "ingest_body_bytes": 64 * MIB,
    "ingest_batch_count": 100_000,
    "group_commit_ms": 20,
    "speed": 1_000_000,
}


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings that `environ` gives; the rest keep their defaults.

    Raises ConfigError for an unknown `PENSTOCK_*` name (a typing error would otherwise be a
    setting that silently does nothing), a value of the wrong kind and one out of range.
    """
    types = get_type_hints(Settings)
    given: dict[str, object] = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or _is_other(name):
            continue
        field, text = _field(name, environ[name])
        if field not in types:
            raise _unknown(name)
        if field in given:
            raise ConfigError(f"{PREFIX}{field.upper()} and {name} are both set", fix="keep one")
        given[field] = _value(name, field, types[field], text)
    return Settings(**given)  # type: ignore[arg-type]


def _is_other(name: str) -> bool:
    return name in OTHER_NAMES or name.startswith(OTHER_PREFIXES)


def _field(name: str, text: str) -> tuple[str, str]:
    field = name.removeprefix(PREFIX).lower()
    secret = field.removesuffix("_file")
    if secret == field or secret not in SECRET_FIELDS:
        return field, text
    try:
        return secret, Path(text).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: {text!r} cannot be read", why=str(error)) from error


def _unknown(name: str) -> ConfigError:
    known = [PREFIX + field.name.upper() for field in dataclasses.fields(Settings)]
    known += [PREFIX + field.upper() + "_FILE" for field in SECRET_FIELDS] + sorted(OTHER_NAMES)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return ConfigError(
        f"{name} is not a setting",
        why="a PENSTOCK_ name that nothing reads would be a setting without effect",
        fix=f"did you mean {near[0]}?" if near else "see docs/settings.md for every name",
    )


def _value(name: str, field: str, kind: type, text: str) -> object:
    try:
        value: object = kind(text.strip())
    except ValueError as error:
        rule = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{name}: {text!r} is not {rule}") from error
    if isinstance(value, int | float):
        low, high = _AT_LEAST.get(field, 0.0), _AT_MOST.get(field, math.inf)
        if not low <= value <= high or (field == "speed" and value == 0):
            raise ConfigError(f"{name}: {text} is not within {low:g} to {high:g}")
    if field in _ONE_OF and value not in _ONE_OF[field]:
        allowed = ", ".join(filter(None, _ONE_OF[field]))
        raise ConfigError(f"{name}: {text!r} is not one of {allowed}")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
