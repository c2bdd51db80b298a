"""A tenant is told what went wrong, and never where the operator's machines are."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from tests.architecture.source import ROOT
from tests.conftest import NewStack
from tests.control_plane.api.organizations import Organization, new_organization
from tests.stack import Stack, free_port

SETTINGS = {"HOLDFAST_PYTHON_TOOL_MODULES": "tests.tools", "PYTHONPATH": str(ROOT)}
GONE = free_port()


@pytest.fixture(scope="module")
async def served(new_stack: NewStack) -> AsyncGenerator[Stack]:
    gone = {"HOLDFAST_PROVIDERS__GONE__BASE_URL": f"http://127.0.0.1:{GONE}/v1"}
    unknown = {"HOLDFAST_PROVIDERS__UNKNOWN__BASE_URL": "http://llm.holdfast.internal:8000/v1"}
    unknown |= {"HOLDFAST_PROVIDERS__UNKNOWN__API_KEY": "sk-none"}
    async with new_stack(settings=SETTINGS | gone | unknown) as stack:
        yield stack


@pytest.fixture(scope="module")
async def tenant(served: Stack) -> Organization:
    return await new_organization(served.database_url, "tenant")


def client_of(stack: Stack, tenant: Organization) -> httpx.AsyncClient:
    """The tenant's own way to the API."""
    return httpx.AsyncClient(base_url=stack.api_url, headers=tenant.auth(), timeout=70, trust_env=False)


def places(stack: Stack) -> list[str]:
    """List the words that are nobody's business but the operator's."""
    ports = [f":{port}" for port in (*stack.ports.values(), GONE)]
    return [socket.gethostname(), "holdfast.internal", str(ROOT), str(stack.directory), sys.prefix, *ports]


async def ended(
    served: Stack, tenant: Organization, agent: str, prompt: str, until: str = "execution.completed"
) -> str:
    """All that is told of an execution of the tenant's once an event has come."""
    async with client_of(served, tenant) as client:
        started = await client.post("/api/v1/executions", json={"agent_id": agent, "prompt": prompt})
        execution = started.json()["id"]
        async with asyncio.timeout(60):
            while until not in (events := await client.get(f"/api/v1/executions/{execution}/events?follow=false")).text:
                await asyncio.sleep(0.1)
        shown = [await client.get(f"/api/v1/executions/{execution}{part}") for part in ("", "/steps", "/result")]
        await client.post(f"/api/v1/executions/{execution}/cancel")
    return "\n".join(answer.text for answer in (*shown, events))


@pytest.mark.parametrize(
    ("provider", "why"), [("gone", "connection refused"), ("unknown", "its name is not known to the worker")]
)
async def test_a_provider_that_is_away_is_named_and_not_located(
    served: Stack, tenant: Organization, provider: str, why: str
) -> None:
    async with client_of(served, tenant) as client:
        configuration = {"model_retries": {"attempts": 1}}
        body = {"name": provider, "model_id": f"{provider}/any", "configuration": configuration}
        assert (await client.post("/api/v1/agents", json=body)).status_code == 201, "agent"

    told = await ended(served, tenant, provider, "hello", until="attempt.failed")

    assert f"of provider '{provider}': {why}" in told
    assert [place for place in places(served) if place in told] == []


async def test_a_function_that_fails_does_not_tell_where_it_runs(served: Stack, tenant: Organization) -> None:
    toolsets = [{"type": "python", "functions": ["tests.tools:fail"]}]
    async with client_of(served, tenant) as client:
        await client.post(
            "/api/v1/agents", json={"name": "failing", "model_id": "scripted/scripted", "toolsets": toolsets}
        )
    reason = f"no {served.directory}/secret.txt at 127.0.0.1:{GONE}"

    told = await ended(served, tenant, "failing", f"[[tool fail {json.dumps({'reason': 'x'})};; result]]")
    failed = await served_error(served, reason)

    assert "'fail' failed: ValueError: x" in told
    assert failed == "'fail' failed: ValueError: no …/secret.txt at [a host]"


async def served_error(served: Stack, reason: str) -> str:
    """Give the error that the model reads of a failure for that reason."""
    tools = [{"type": "python", "functions": ["tests.tools:fail"]}]
    await served.agent("fails", toolsets=tools)
    execution = await served.start(f"[[tool fail {json.dumps({'reason': reason})};; result]]", "fails")
    return (await served.result(execution))["response"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/worker-pools",
        "/api/v1/worker-pools/default",
        "/api/v1/worker-pools/workflows",
        "/api/v1/runtimes",
        "/api/v1/runtimes/default",
        "/api/v1/templates",
        "/health/ready",
        "/health/runtimes",
        "/health/models",
    ],
)
async def test_what_serves_a_tenant_has_no_address(served: Stack, tenant: Organization, path: str) -> None:
    async with client_of(served, tenant) as client:
        answer = await client.get(path)

    assert answer.status_code == 200
    assert [place for place in places(served) if place in answer.text] == []


async def test_the_operator_sees_its_machines(served: Stack) -> None:
    (worker,) = (await served.http.get("/api/v1/worker-pools/default")).json()["live_workers"]

    assert (worker["host"], worker["pid"]) == (socket.gethostname(), served.processes["default"].pid)


async def test_the_operator_s_log_says_where_a_provider_is(served: Stack) -> None:
    await served.agent("away", model_id="gone/any", configuration={"model_retries": {"attempts": 1}})
    execution = await served.start("hello", "away")
    await served.until_event(execution, "attempt.failed")

    await asyncio.sleep(0.5)
    lines = Path(served.processes["default"].log).read_text().splitlines()
    assert any(execution in line and f"127.0.0.1:{GONE}" in line for line in lines if "attempt failed" in line)
