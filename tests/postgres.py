"""A real PostgreSQL for the run: one server, one migrated template, one clone of it per test."""

import gc
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import NullPool, create_engine, make_url

from control_plane.local.postgres import EmbeddedPostgres, postgres_binaries
from db.migrate import upgrade
from db.session import driver_url

TEMPLATE = "holdfast_template"

#: No test needs its rows to outlive a crash of the machine.
FAST = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")


class PostgresProcess:
    """An embedded server that a test may kill; durable unless `options` say otherwise."""

    def __init__(self, directory: Path, *options: str) -> None:
        self._directory = directory
        self._embedded = EmbeddedPostgres(directory / "data", binaries=postgres_binaries(), say=_ignore)
        self._embedded.set_up()
        self._service = self._embedded.service(directory / "postgres.log")
        self._options = options
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its database `postgres`, as its superuser."""
        return self._embedded.url("postgres")

    def start(self) -> None:
        """Start it, or start it again, and wait until it answers."""
        self._service.prepare()
        user, group = self._service.account or (None, None)
        with (self._directory / "postgres.log").open("ab") as log:
            self._popen = subprocess.Popen(
                (*self._service.command, "-c", "max_connections=300", *self._options),
                env=dict(self._service.environment),
                stdout=log,
                stderr=log,
                user=user,
                group=group,
                extra_groups=None if group is None else [],
                cwd="/",
            )
        self._wait_until_it_answers()

    def kill(self) -> None:
        """SIGKILL its main process."""
        assert self._popen is not None
        self._popen.kill()
        self._popen.wait()

    def stop_immediately(self) -> None:
        """Stop it as a crash would, with all its processes."""
        assert self._popen is not None
        self._popen.send_signal(signal.SIGQUIT)
        self._popen.wait(30)

    def stop(self) -> None:
        """Shut it down."""
        assert self._popen is not None
        self._popen.send_signal(self._service.stop_signal)
        self._popen.wait(30)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return


def _ignore(_: str) -> None:
    """What the set-up has to say is of no interest here."""


@contextmanager
def embedded_postgres(*options: str) -> Generator[PostgresProcess]:
    """A server in a directory of its own."""
    directory = Path(tempfile.mkdtemp(prefix="holdfast-pg-"))
    server = PostgresProcess(directory, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a server of this run's own, as its superuser."""
    if os.environ.get("HOLDFAST_TEST_STACK") == "containers":
        with _container() as url:
            yield url
    else:
        with embedded_postgres(*FAST) as server:
            yield server.url


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


def as_user(server: str, user: str, database: str) -> str:
    """The URL of a database on a server, as another user."""
    return make_url(server).set(username=user, database=database).render_as_string(hide_password=False)


def execute(url: str, statement: str) -> None:
    """Run one statement outside of a transaction."""
    engine = create_engine(driver_url(url), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)


@contextmanager
def _container() -> Generator[str]:
    testcontainers = pytest.importorskip("testcontainers.postgres")
    if missing := _why_no_docker():
        pytest.skip(f"HOLDFAST_TEST_STACK=containers, but Docker does not answer: {missing}")
    with testcontainers.PostgresContainer("postgres:18", driver=None) as container:
        yield container.get_connection_url()


def _why_no_docker() -> str:
    docker = pytest.importorskip("docker", reason="HOLDFAST_TEST_STACK=containers needs testcontainers")
    reason = ""
    with warnings.catch_warnings():
        # Docker's client leaves its socket to the garbage collector where nobody answers.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            docker.from_env().ping()
        except docker.errors.DockerException as error:
            reason = str(error)
        gc.collect()
    return reason
