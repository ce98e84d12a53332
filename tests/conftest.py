"""Databases for every test: each gets its own, empty, on SQLite and on PostgreSQL.

Property tests draw the same examples in every run, in `make test-laws` more of them; `make fuzz`
draws new ones.
"""

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy import Engine

from deploy.kafka_local import Cluster, MissingError, Options
from deploy.kafka_local.certificates import KINDS
from streams.db.engine import connect
from tests.contracts import postgres
from tests.real_data import NOT_SHIPPED

# A shell that runs the tests in the background has them ignore Ctrl-C, and so would every process
# that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A broker of the tests lives for seconds: of what Java compiles to the last it has nothing, and
# that is half of what it costs.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")

settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.register_profile("wide", derandomize=True, deadline=None, database=None)
settings.register_profile("fuzz", deadline=None, max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):  # noqa: ARG001 - the hook's own arguments
    """In CI a test that is skipped has failed: what it needs is to be installed.

    Only real data may be away: they are not ours to ship.
    """
    report = yield
    is_ours = NOT_SHIPPED not in str(call.excinfo.value if call.excinfo else "")
    if report.skipped and os.environ.get("CI") == "true" and is_ours:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {call.excinfo.value if call.excinfo else ''}"
    return report


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    try:
        server = postgres.start()
    except postgres.MissingError as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no PostgreSQL here: {missing}")
    yield server
    server.stop()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture
def postgres_url(postgres_server: postgres.Server) -> Iterator[str]:
    with postgres_server.fresh() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh and empty database."""
    name = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    return str(request.getfixturevalue(name))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a fresh and empty database."""
    engine = connect(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A broker that anybody may use; tests keep apart by `topic_prefix`."""
    yield from _kafka(tmp_path_factory.mktemp("kafka"), Options())


@pytest.fixture(scope="session")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A broker with TLS, SCRAM and rights; it has a listener for every kind of certificate."""
    yield from _kafka(tmp_path_factory.mktemp("kafka"), Options(certificates=KINDS, acls=True))


def _kafka(folder: Path, options: Options) -> Iterator[Cluster]:
    try:
        cluster = Cluster(folder, options)
    except MissingError as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no Kafka here: {missing}")
    with cluster:
        yield cluster


@pytest.fixture
def topic_prefix(kafka_server: Cluster) -> Iterator[str]:
    """Names that begin with it are this test's own on `kafka_server`; its topics go afterwards."""
    prefix = f"test-{uuid.uuid4().hex[:12]}-"
    yield prefix
    with kafka_server.admin() as admin:
        if own := [name for name in admin.list_topics() if name.startswith(prefix)]:
            admin.delete_topics(own)
