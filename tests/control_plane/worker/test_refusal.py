"""A worker whose key the API does not accept takes no turn; one that comes before the API waits for it."""

import asyncio
from collections.abc import AsyncGenerator

import httpx
import psycopg
import pytest

from control_plane.key_text import key_hash
from control_plane.local.keys import insert_key
from tests.conftest import NewStack
from tests.stack import Process, Stack, free_port

pytestmark = pytest.mark.usefixtures("astray")


@pytest.fixture(scope="module")
async def own(new_stack: NewStack) -> AsyncGenerator[Stack]:
    async with new_stack() as stack:
        yield stack


@pytest.fixture(scope="module")
async def astray(own: Stack) -> list[Process]:
    """Workers that look for Temporal in vain, while the other tests run: they do so for 30 s."""
    nowhere = f"127.0.0.1:{free_port()}"
    workers = [
        await _worker(own, "nowhere", TEMPORAL_ADDRESS=nowhere, TEMPORAL_NAMESPACE="elsewhere"),
        await _worker(own, "elsewhere", TEMPORAL_NAMESPACE="elsewhere"),
    ]
    for worker in workers:
        worker.start()
    return workers


async def _worker(stack: Stack, name: str, **settings: str) -> Process:
    """A runtime worker of the pool `default`, with a key of its own."""
    async with await psycopg.AsyncConnection.connect(stack.database_url) as connection:
        key = await insert_key(connection, name, ["worker"])
    worker = stack.add_worker("default", name)
    worker.environment = {**worker.environment, "HOLDFAST_API_KEY": key, **settings}
    return worker


async def _revoke(stack: Stack, worker: Process) -> None:
    query = "UPDATE api_keys SET revoked_at = now() WHERE hash = %s"
    async with await psycopg.AsyncConnection.connect(stack.database_url) as connection:
        await connection.execute(query, (key_hash(worker.environment["HOLDFAST_API_KEY"]),))


async def _until_said(worker: Process, text: str) -> None:
    async with asyncio.timeout(60):
        while text not in worker.log.read_text():
            await asyncio.sleep(0.05)


async def _until_health(port: int, path: str, status: int) -> None:
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                if (await client.get(f"http://127.0.0.1:{port}/health/{path}")).status_code == status:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


async def test_a_worker_with_a_key_for_something_else_ends_at_once_and_says_what_it_needs(stack: Stack) -> None:
    wrong = {"no scope": stack.api_key, "nobody's": "hf_nobody", "none": ""}
    workers = {name: stack.add_worker("default", f"key-{number}") for number, name in enumerate(wrong)}

    for name, worker in workers.items():
        worker.environment = {**worker.environment, "HOLDFAST_API_KEY": wrong[name]}
        worker.start()
    codes = [await asyncio.to_thread(worker.wait, 60) for worker in workers.values()]

    said = [worker.log.read_text() for worker in workers.values()]
    assert codes == [4, 4, 4], said
    assert all(f"Error: The API at {stack.api_url} refuses this worker: " in text for text in said)
    assert all("HOLDFAST_API_KEY: holdfast keys create NAME --scope worker\n" in text for text in said)
    assert "scope 'worker'" in said[0]
    assert not any("Traceback" in text for text in said)


async def test_a_worker_whose_key_is_revoked_leaves_its_turns_to_the_others(own: Stack) -> None:
    worker = await _worker(own, "revoked")
    own.processes["default"].kill()
    worker.start()
    execution = await own.start("[[emit 120 @20;; say end]]")
    await own.until_event(execution, "attempt.started")

    await _revoke(own, worker)
    own.processes["default"].start()
    result = await own.result(execution, timeout=90)

    assert await asyncio.to_thread(worker.wait, 60) == 4
    assert result["response"].endswith("tok120 end")
    assert "the API refuses this worker: it takes no more work" in worker.log.read_text()


async def test_a_worker_that_comes_before_temporal_and_the_api_waits_for_both_and_says_so(own: Stack) -> None:
    port = free_port()
    worker = await _worker(own, "early", HOLDFAST_WORKER_HEALTH_PORT=str(port))
    for name in ("default", "api", "temporal"):
        own.processes[name].kill()

    worker.start()
    await _until_said(worker, "cannot be used: connection refused. Trying again for 30 s.")
    await _until_health(port, "live", 200)
    own.processes["temporal"].start()
    await _until_said(worker, "waiting for the API")
    await _until_health(port, "ready", 503)
    own.processes["api"].start()
    await _until_health(port, "ready", 200)

    assert (await own.result(await own.start("[[say hello]]")))["response"] == "hello"


async def test_a_worker_that_waits_for_the_api_ends_when_it_is_told_to(own: Stack) -> None:
    worker = await _worker(own, "impatient", HOLDFAST_API_URL="http://127.0.0.1:9")
    worker.start()
    await _until_said(worker, "waiting for the API")

    worker.terminate()

    assert await asyncio.to_thread(worker.wait, 10) == 0


async def test_settings_of_temporal_that_cannot_be_used_are_a_usage_error(own: Stack) -> None:
    settings = {"TEMPORAL_PROFILE": "nobody's", "TEMPORAL_ADDRESS": "no address"}
    workers = [await _worker(own, name, **{name: value}) for name, value in settings.items()]

    for worker in workers:
        worker.start()
    codes = [await asyncio.to_thread(worker.wait, 60) for worker in workers]

    said = [worker.log.read_text() for worker in workers]
    assert codes == [2, 2], said
    assert all(text.startswith("Error: Temporal's ") for text in said)


async def test_a_worker_that_finds_no_temporal_ends_and_says_where_it_looked(astray: list[Process]) -> None:
    codes = [await asyncio.to_thread(worker.wait, 100) for worker in astray]

    nowhere, elsewhere = astray
    address, said = nowhere.environment["TEMPORAL_ADDRESS"], nowhere.log.read_text()
    assert codes == [6, 6]
    assert f"Error: Temporal at {address} cannot be used: connection refused.\n" in said
    assert "  - address from TEMPORAL_ADDRESS\n  - namespace elsewhere\nStart Temporal, or say where it is" in said
    assert "Namespace elsewhere is not found." in elsewhere.log.read_text()
    assert "Traceback" not in said + elsewhere.log.read_text()
