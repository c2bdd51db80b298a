"""The embedded PostgreSQL: what it survives."""

import asyncio
import io
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from control_plane.local.child import Child
from control_plane.local.directory import DataDirectory
from control_plane.local.postgres import EmbeddedPostgres, PostgresUnusable, make_socket_directory, postgres_binaries
from control_plane.local.progress import Progress
from control_plane.local.stack import stop_stack
from control_plane.local.state import ProcessPhase


@asynccontextmanager
async def _running(data: Path) -> AsyncGenerator[tuple[EmbeddedPostgres, Child]]:
    postgres = EmbeddedPostgres(data, binaries=postgres_binaries(), say=lambda _: None)
    postgres.set_up()
    child = Child(postgres.service(data.parent / "log"), Progress(io.StringIO()), lambda: None)
    await child.start()
    try:
        await postgres.ensure_database()
        yield postgres, child
    finally:
        await child.stop()


async def _query(url: str, query: str) -> list[tuple[object, ...]]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        found = await connection.execute(query.encode())
        return await found.fetchall() if found.description else []


def _pid(child: Child) -> int:
    assert child.state.identity is not None
    return child.state.identity.pid


@pytest.mark.timeout(180)
async def test_it_survives_kill_nine_and_keeps_what_was_committed(tmp_path: Path) -> None:
    async with _running(tmp_path / "postgres") as (postgres, child):
        await _query(postgres.url(), "CREATE TABLE kept AS SELECT 1 AS one")
        os.kill(_pid(child), signal.SIGKILL)
        async with asyncio.timeout(60):
            while not (child.state.restarts and child.state.phase is ProcessPhase.READY):
                await asyncio.sleep(0.05)
        rows = await _query(postgres.url(), "SELECT one FROM kept")

    assert rows == [(1,)]


@pytest.mark.timeout(180)
async def test_it_listens_on_no_tcp_port(tmp_path: Path) -> None:
    async with _running(tmp_path / "postgres") as (_, child):
        sockets = psutil.Process(_pid(child)).net_connections("tcp")

    assert sockets == []


@pytest.mark.timeout(180)
async def test_it_starts_over_a_pid_file_whose_number_is_another_process_now(tmp_path: Path) -> None:
    async with _running(tmp_path / "postgres") as (postgres, child):
        stale = (tmp_path / "postgres" / "postmaster.pid").read_text().split("\n", 1)[1]
        lock = postgres.sockets / ".s.PGSQL.5432.lock"
    for file in (tmp_path / "postgres" / "postmaster.pid", lock):
        file.write_text(f"{os.getpid()}\n{stale}")

    async with _running(tmp_path / "postgres") as (postgres, child):
        rows = await _query(postgres.url(), "SELECT 1")

    assert rows == [(1,)]
    assert child.state.restarts == 0


@pytest.mark.timeout(180)
async def test_a_server_that_was_left_behind_is_ended_first(tmp_path: Path) -> None:
    async with _running(tmp_path / "postgres") as (_, first):
        left = _pid(first)
        again = EmbeddedPostgres(tmp_path / "postgres", binaries=postgres_binaries(), say=lambda _: None)
        again.set_up()
        await first.abandon()
        await asyncio.to_thread(again.clean_up)

    assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE


@pytest.mark.timeout(180)
async def test_a_long_path_gets_its_socket_elsewhere_in_private_until_it_stops(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)

    async with _running(deep / "postgres") as (postgres, _):
        mode = postgres.sockets.stat().st_mode & 0o777
        rows = await _query(postgres.url(), "SELECT 1")

    assert postgres.sockets != deep / "postgres"
    assert (mode, rows) == (0o700, [(1,)])
    assert not postgres.sockets.exists()


@pytest.mark.timeout(180)
async def test_the_socket_of_a_server_whose_supervisor_died_is_removed_by_down(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / ("d" * 110))
    directory.prepare()
    async with _running(directory.postgres) as (postgres, child):
        await child.abandon()
        before = postgres.sockets.exists()
        await asyncio.to_thread(stop_stack, directory, lambda _: None)
        after = postgres.sockets.exists()

    assert (before, after) == (True, False)


def test_a_directory_of_somebody_else_is_never_used_for_the_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 110)
    first = make_socket_directory(deep, None)
    first.rmdir()
    first.symlink_to(tmp_path)

    try:
        with pytest.raises(PostgresUnusable, match="belongs to somebody else"):
            make_socket_directory(deep, None)
    finally:
        first.unlink()


def test_data_of_another_version_is_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text("16\n")

    with pytest.raises(PostgresUnusable, match="of PostgreSQL 16, this release runs 18"):
        EmbeddedPostgres(data, binaries=postgres_binaries(), say=lambda _: None).set_up()
