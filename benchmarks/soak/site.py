"""Brokers and a database of the soak's own, and an installation on them."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from deploy.kafka_local import Cluster as Broker
from deploy.kafka_local import Options
from penstock.installation import make_topics, prepare
from penstock.logs import open_log
from penstock.settings import Settings, read_settings
from streams.db.clock import Clock
from tests.contracts import postgres


class Site(msgspec.Struct, frozen=True):
    """Where an installation runs."""

    folder: Path
    brokers: Broker
    database: postgres.Server
    environ: dict[str, str]  # of each of its processes

    @property
    def settings(self) -> Settings:
        return read_settings(self.environ)


@contextmanager
def sited(*, nodes: int) -> Iterator[Site]:
    """Topics and schema are made; brokers, database and data are gone afterwards."""
    database = postgres.start()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            Broker(Path(folder) / "kafka", Options(nodes=nodes)) as brokers,
            database.fresh() as url,
        ):
            environ = {
                "PENSTOCK_DATA_DIR": f"{folder}/data",
                "PENSTOCK_DATABASE_URL": url,
                "PENSTOCK_KAFKA_SERVERS": brokers.address,
                "PENSTOCK_PORT": str(postgres.free_port()),
            }
            site = Site(Path(folder), brokers, database, environ)
            _prepare(site.settings)
            yield site
    finally:
        database.stop()


def _prepare(settings: Settings) -> None:
    log = open_log(settings, clock=Clock())
    try:
        make_topics(settings, log)
    finally:
        log.close()
    prepare(settings)
