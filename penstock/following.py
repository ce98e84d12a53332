"""Control's duty: aliases at MLflow follow who has a route, once nothing is being decided of it.

An alias is set when the champion of its route becomes another, and not otherwise: a person who
moves it at MLflow is not overruled before the next decision. Setting it is safe to repeat; so it
is set first and noted afterwards, by who holds the lease.
"""

import logging

from sqlalchemy import Connection, Engine

from penstock.mlflow import TIMEOUT_S, Mlflow
from penstock.settings import Settings
from rollout import routes, store
from streams import aliases
from streams.aliases import Alias
from streams.db import leases
from streams.db.clock import Clock
from streams.db.engine import reading, writing
from streams.db.leases import Lease
from streams.errors import Error

LEASE = "mlflow aliases"
LEASE_MS = int(4 * TIMEOUT_S * 1000)
"""No request lasts so long: what an overtaken process has sent has arrived by then, or never."""

_log = logging.getLogger(__name__)


class Follower:
    """Sets what is due at the server that the settings name, and at no other."""

    def __init__(self, engine: Engine, settings: Settings, *, owner: str, clock: Clock) -> None:
        self._engine = engine
        self._url = settings.mlflow_url
        self._token = settings.mlflow_token
        self._owner = owner
        self._clock = clock
        self._foreign: set[tuple[str, str]] = set()  # (model, version) of which that was said

    def step(self) -> None:
        """Every alias stands for the champion of its route. Raises the first error that there was.

        One that cannot be set keeps none of the others waiting.
        """
        if not self._due():
            return
        with writing(self._engine) as connection:
            held = leases.acquire(
                connection, name=LEASE, owner=self._owner, now_ms=self._clock.wall_ms(),
                lease_ms=LEASE_MS,
            )  # fmt: skip
        if held is None:
            return
        faults = []
        with Mlflow(self._url, token=self._token) as mlflow:
            for alias, version in self._due():
                try:
                    held = self._set(mlflow, alias, version, held)
                except Error as error:
                    faults.append(error)
        with writing(self._engine) as connection:
            leases.release(connection, held)
        if faults:
            raise faults[0]

    def _set(self, mlflow: Mlflow, alias: Alias, version: str, held: Lease) -> Lease:
        """The alias stands for the version, there and here; the lease lasts for another one."""
        mlflow.set_alias(alias.name, alias.alias, version)
        with writing(self._engine) as connection:
            renewed = leases.renew(
                connection, held, now_ms=self._clock.wall_ms(), lease_ms=LEASE_MS
            )
            aliases.stands_for(connection, alias, version)
        _log.info(
            "the alias %s of %s at %s stands for version %s",
            alias.alias, alias.name, self._url, version,
        )  # fmt: skip
        return renewed

    def _due(self) -> list[tuple[Alias, str]]:
        """What has to be set, and to which version."""
        found = []
        with reading(self._engine) as connection:
            for alias in aliases.every(connection):
                if alias.url.rstrip("/") != self._url.rstrip("/"):
                    continue
                version = champion(connection, alias.model, alias.route)
                if version in (None, alias.stands_for):
                    continue
                if version in alias.versions:
                    found.append((alias, version))
                else:
                    self._tell_foreign(alias, version)
        return found

    def _tell_foreign(self, alias: Alias, version: str) -> None:
        if (alias.model, version) not in self._foreign:
            self._foreign.add((alias.model, version))
            _log.warning(
                "version %s has route %s of %s and did not come from MLflow: the alias %s stays",
                version, alias.route, alias.model, alias.alias,
                extra={"fix": f"penstock model sync {alias.model} --as {alias.name}"},
            )  # fmt: skip


def champion(connection: Connection, model: str, route: str) -> str | None:
    """Who has the route for good; None while a rollout has it, and before the first table."""
    if store.holder(connection, model, route) is not None:
        return None
    tables = {(table.model, table.route): table for table in routes.newest(connection)}
    table = tables.get((model, route))
    return None if table is None else table.champion.version
