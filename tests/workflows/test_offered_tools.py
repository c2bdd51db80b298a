"""The offer of a turn to its model while an approval waits, and a server that has become another meanwhile."""

import sys
from collections.abc import AsyncGenerator
from uuid import uuid4

import pytest

from services.conformance.bench import MCP_SERVER
from tests.architecture.source import ROOT
from tests.conftest import NewStack
from tests.invariants import assert_ended_well
from tests.stack import Stack

RUNTIMES = ("default", "native", "langgraph")


@pytest.fixture(scope="module")
async def served(new_stack: NewStack) -> AsyncGenerator[Stack]:
    """A stack whose workers may start the server."""
    settings = {"HOLDFAST_SANDBOX_PATHS": f"{ROOT},{sys.base_prefix}", "HOLDFAST_MCP_COMMANDS": sys.executable}
    async with new_stack(pools=RUNTIMES, settings=settings) as stack:
        yield stack


async def _approved(stack: Stack, runtime: str, future: str) -> tuple[str, str]:
    """An execution whose approval comes after its server was changed; gives it and what finds its model calls."""
    marker = f"offered-{uuid4()}"
    server = {"command": [sys.executable, str(MCP_SERVER)]}
    asks = {"math__multiply": {"approval": "always"}}
    await stack.agent(marker, runtime=runtime, toolsets=[{"type": "mcp", "servers": {"math": server}, "tools": asks}])
    script = f'tool math__change {{"future": "{future}"}};; tool math__multiply {{"a": 6, "b": 7}};; result'
    execution = await stack.start(f"[[{script}]] {marker}", marker)
    await stack.until_status(execution, "waiting")
    asked = await stack.http.get("/api/v1/approvals", params={"execution_id": execution})
    (approval,) = (item["id"] for item in asked.json()["items"])
    decided = await stack.http.post(f"/api/v1/approvals/{approval}/approve", json={})
    assert decided.is_success, decided.text
    return execution, marker


@pytest.mark.parametrize("runtime", RUNTIMES)
async def test_one_tool_more_voids_no_approval_and_pays_nothing_twice(served: Stack, runtime: str) -> None:
    execution, marker = await _approved(served, runtime, "richer")

    result = await served.result(execution)

    types = [event["type"] for event in await assert_ended_well(served, execution)]
    calls = await served.model_calls(marker)
    assert result["response"] == "42"
    assert (types.count("approval.requested"), types.count("tool.completed")) == (1, 2)
    assert "journal.diverged" not in types
    assert len(calls) == result["usage"]["model_calls"] == 3
    assert len({tuple(call["tools"]) for call in calls}) == 1


async def test_a_server_that_is_gone_is_told_to_the_model_and_ends_no_turn(served: Stack) -> None:
    execution, marker = await _approved(served, "native", "gone")

    result = await served.result(execution)

    types = [event["type"] for event in await assert_ended_well(served, execution)]
    assert "'math__multiply' cannot be called any more" in result["response"]
    assert "journal.diverged" not in types
    assert len(await served.model_calls(marker)) == 3
