"""What Temporal refuses is told as it is, and is no outage."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError

from control_plane.gateway import TemporalGateway
from tests.control_plane.api.organizations import code
from tests.control_plane.installation import Installation, installed
from tests.stack import Stack

NAMESPACE = "bare"
COMMAND = "temporal operator search-attribute create --name OrganizationId --type Keyword --name AgentId"


@pytest.fixture
async def bare(stack: Stack, postgres_url: str) -> AsyncGenerator[Installation]:
    """In a namespace that lacks our search attributes."""
    client = await _client(stack, NAMESPACE)
    request = RegisterNamespaceRequest(
        namespace=NAMESPACE, workflow_execution_retention_period=Duration(seconds=24 * 3600)
    )
    await client.workflow_service.register_namespace(request)
    await _until_it_is_there(client)
    async with installed(postgres_url, TemporalGateway(client)) as installation:
        yield installation


async def _client(stack: Stack, namespace: str) -> Client:
    return await Client.connect(stack.temporal_address, namespace=namespace, data_converter=pydantic_data_converter)


async def _until_it_is_there(client: Client) -> None:
    while True:
        try:
            await client.count_workflows()
        except RPCError:
            await asyncio.sleep(0.2)
        else:
            return


async def test_missing_search_attributes_are_told_with_the_command_that_makes_them(
    stack: Stack, bare: Installation
) -> None:
    ready = await bare.http.get("/health/ready")
    accepted = await bare.accept()

    assert code(ready) == (502, "temporal_rejected")
    assert COMMAND in ready.json()["hint"]
    (warning,) = [each for each in accepted["warnings"] if each["code"] == "temporal_rejected"]
    assert "has no mapping defined for search attribute" in warning["message"]
    assert "kept" in warning["message"]
    assert COMMAND in warning["hint"]

    await _make_search_attributes(stack)
    await stack.until(lambda: _is_ready(bare))
    await asyncio.sleep(0.05)
    assert await bare.reconciler.reconcile() == 1
    described = (await _client(stack, NAMESPACE)).get_workflow_handle(accepted["workflow_id"])
    await described.describe()


async def _make_search_attributes(stack: Stack) -> None:
    names: list[str] = ["OrganizationId", "AgentId", "Runtime"]
    kinds = dict.fromkeys(names, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD)
    request = AddSearchAttributesRequest(namespace=NAMESPACE, search_attributes=kinds)
    await stack.temporal.operator_service.add_search_attributes(request)


async def _is_ready(installation: Installation) -> bool:
    return (await installation.http.get("/health/ready")).is_success


async def test_a_namespace_that_is_not_there_loses_nothing(stack: Stack, postgres_url: str) -> None:
    gateway = TemporalGateway(await _client(stack, "nowhere"))
    async with installed(postgres_url, gateway) as installation:
        accepted = await installation.accept()
        await asyncio.sleep(0.05)
        settled = await installation.reconciler.reconcile()
        kept = await installation.get(accepted["id"])
        cancelled = await installation.http.post(f"/api/v1/executions/{accepted['id']}/cancel")

    assert "temporal_rejected" in [warning["code"] for warning in accepted["warnings"]]
    assert (settled, kept["status"]) == (0, "queued")
    assert code(cancelled) == (502, "temporal_rejected")
    assert "nowhere" in cancelled.json()["detail"]
