"""Two installations that were given one Temporal namespace: the second leaves everything alone and says so."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import httpx
import psycopg
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from control_plane.local.keys import insert_key
from control_plane.local.temporal import SEARCH_ATTRIBUTES
from control_plane.temporal import claim_namespace, namespace_owner
from tests.stack import Process, Stack, free_port


@asynccontextmanager
async def _second_api(
    stack: Stack, database_url: str, **settings: str
) -> AsyncGenerator[tuple[httpx.AsyncClient, str]]:
    """The API of a second installation, and a key for its workers."""
    port, place = free_port(), database_url.replace("+psycopg", "")
    async with await psycopg.AsyncConnection.connect(place) as connection:
        # Test databases are copies of one.
        await connection.execute("UPDATE installation SET id = gen_random_uuid()")
        key = await insert_key(connection, "second", ["read", "write", "admin"])
        worker_key = await insert_key(connection, "second's workers", ["worker"])
    environment = stack.api_environment(port) | {"HOLDFAST_DATABASE_URL": database_url} | settings
    async with _running(stack, stack.add("second-api", "api", environment=environment)):
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False) as client:

            async def lives() -> bool:
                try:
                    return (await client.get("/health/live")).is_success
                except httpx.TransportError:
                    return False

            await stack.until(lives)
            yield client, worker_key


@asynccontextmanager
async def _running(stack: Stack, process: Process) -> AsyncGenerator[Process]:
    process.start()
    try:
        yield process
    finally:
        await asyncio.to_thread(process.stop)
        del stack.processes[process.name]


def _second_worker(stack: Stack, api: httpx.AsyncClient, key: str) -> Process:
    environment = {"HOLDFAST_API_URL": str(api.base_url).rstrip("/"), "HOLDFAST_API_KEY": key}
    return stack.add("second-workflows", "worker", "--workflows", environment=environment)


async def test_a_second_installation_on_the_namespace_is_not_ready_and_starts_nothing(
    stack: Stack, clone_database: Callable[[], str]
) -> None:
    await stack.until(stack.is_ready)

    async with _second_api(stack, clone_database()) as (api, _):
        ready = await api.get("/health/ready")
        agent = await api.post("/api/v1/agents", json={"name": "theirs", "model_id": "scripted/scripted"})
        started = await api.post("/api/v1/executions", json={"agent_id": "theirs", "prompt": "hello"})
        row = (await api.get(f"/api/v1/executions/{started.json()['id']}")).json()

    assert (ready.status_code, ready.json()["code"]) == (502, "installation_foreign")
    assert "serves another Holdfast installation" in ready.json()["detail"]
    assert agent.status_code == 201
    assert started.status_code == 201
    assert [notice["code"] for notice in started.json()["warnings"]][-1:] == ["installation_foreign"]
    assert row["status"] == "waiting_for_pool"
    assert (await stack.result(await stack.start("hello")))["success"]


async def test_its_workers_take_no_work_of_the_first_one(stack: Stack, clone_database: Callable[[], str]) -> None:
    async with (
        _second_api(stack, clone_database()) as (api, key),
        _running(stack, _second_worker(stack, api, key)) as worker,
    ):

        async def waits() -> bool:
            return "installation_foreign" in worker.log.read_text()

        await stack.until(waits)
        results = [await stack.result(await stack.start("hello")) for _ in range(5)]

    assert all(result["success"] for result in results)
    assert "worker ready" not in worker.log.read_text()


async def test_a_worker_that_was_given_another_installations_namespace_ends_and_says_why(
    stack: Stack, clone_database: Callable[[], str]
) -> None:
    namespace = await _new_namespace(stack)

    async with _second_api(stack, clone_database(), TEMPORAL_NAMESPACE=namespace) as (api, key):
        ready = await api.get("/health/ready")
        async with _running(stack, _second_worker(stack, api, key)) as worker:
            code = await asyncio.to_thread(worker.wait)

    assert ready.status_code == 200, ready.text
    assert code == 4
    assert "serves another one" in worker.log.read_text()


async def test_of_two_that_claim_a_namespace_at_once_one_has_it(stack: Stack) -> None:
    client = await Client.connect(stack.temporal_address, namespace=await _new_namespace(stack))
    claimants = [str(uuid4()) for _ in range(6)]

    owners = set(await asyncio.gather(*(claim_namespace(client, claimant) for claimant in claimants)))

    assert len(owners) == 1
    assert owners == {await namespace_owner(client)}
    assert owners <= set(claimants)


async def _new_namespace(stack: Stack) -> str:
    """A namespace that nobody has claimed."""
    name, service = f"other-{uuid4().hex[:8]}", stack.temporal
    request = RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=Duration(seconds=86_400))
    await service.workflow_service.register_namespace(request)
    attributes_of_ours: dict[str, IndexedValueType.ValueType] = dict.fromkeys(
        SEARCH_ATTRIBUTES, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    )
    attributes = AddSearchAttributesRequest(namespace=name, search_attributes=attributes_of_ours)
    client = await Client.connect(stack.temporal_address, namespace=name)

    async def is_there() -> bool:
        try:
            await client.operator_service.add_search_attributes(attributes, timeout=timedelta(seconds=5))
            await client.count_workflows(f"{SEARCH_ATTRIBUTES[0]} = ''")
            return await namespace_owner(client) is None
        except RPCError:
            return False

    await stack.until(is_there)
    return name
