"""The PostgreSQL that development and tests run on: what it keeps, and how it ends."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from deploy.postgres_local import MissingError, Server, ServerError, find
from tests.contracts.postgres import free_port
from tests.processes import running

STARTER = """
import sys, time
from pathlib import Path
from deploy.postgres_local import Server
with Server(Path(sys.argv[1]), port=int(sys.argv[2])) as server:
    server.make_database("kept")
    print(server.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module", autouse=True)
def binaries():
    try:
        find()
    except MissingError as missing:
        pytest.skip(f"no PostgreSQL here: {missing}")


@pytest.fixture
def folder():
    # Not below pytest's own folder: that is root's alone where root runs the tests.
    with tempfile.TemporaryDirectory(prefix="penstock-postgres-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "server"


def databases(server: Server) -> set[str]:
    with psycopg.connect(server.url("postgres").replace("+psycopg", "")) as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}


def test_a_server_goes_with_whoever_started_it_and_keeps_what_was_committed(folder):
    port = free_port()
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, folder, str(port)], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    first = int(starter.stdout.readline())
    starter.kill()
    starter.wait()
    starter.stdout.close()

    with Server(folder, port=port) as server:
        assert not running(first)
        assert "kept" in databases(server)
        server.make_database("kept")
        server.restart("immediate")
        assert "kept" in databases(server)
        last = server.pid

    assert not running(last)


def test_a_port_that_is_taken_is_said_with_the_servers_own_words(folder):
    with Server(folder, port=free_port()) as server:
        second = Server(folder.with_name("second"), port=server.port)
        with pytest.raises(ServerError, match="Address already in use"):
            second.start()

        os.kill(server.pid, signal.SIGQUIT)
        while server.running:
            time.sleep(0.02)
    assert not second.running
