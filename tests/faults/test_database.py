"""PostgreSQL dies in the middle of an execution."""

import asyncio
from collections.abc import Generator

import pytest

from db.migrate import upgrade
from tests.conftest import NewStack
from tests.invariants import assert_ended_well, text_of
from tests.postgres import PostgresProcess, embedded_postgres
from tests.stack import Stack


@pytest.fixture
def mortal_server() -> Generator[PostgresProcess]:
    """A PostgreSQL server of the test's own, with the durability of a real one."""
    with embedded_postgres() as server:
        upgrade(server.url)
        yield server


async def test_a_killed_postgresql_loses_nothing(mortal_server: PostgresProcess, new_stack: NewStack) -> None:
    async with new_stack(database_url=mortal_server.url) as stack:
        execution = await stack.start("[[emit 60 @20;; say end]]")
        await stack.until_event(execution, "message.delta")
        begun = asyncio.Event()
        reading = asyncio.create_task(_read(stack, execution, begun))
        await begun.wait()

        mortal_server.kill()
        await asyncio.sleep(1)
        answer = await stack.http.get(f"/api/v1/executions/{execution}")
        await asyncio.to_thread(mortal_server.start)

        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert (await stack.result(execution))["response"].endswith("tok60 end")
        events = await assert_ended_well(stack, execution)
        assert text_of(events).endswith("tok60 end")
        assert "execution.completed" not in await reading
        assert "Traceback" not in (stack.directory / "api.log").read_text()


async def _read(stack: Stack, execution: str, begun: asyncio.Event) -> list[str]:
    """Follow the log until the stream ends."""
    types: list[str] = []
    async with stack.stream(execution) as events:
        async for event in events:
            begun.set()
            types.append(event["type"])
    return types
