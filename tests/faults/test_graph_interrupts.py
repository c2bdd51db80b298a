"""An interrupt of a user's graph is decided after every process was restarted."""

from pathlib import Path

import pytest

from tests.conftest import NewStack
from tests.stack import Stack

SAMPLES = "tests.runtimes.sample_graphs"


@pytest.mark.parametrize(("verb", "heard"), [("approve", "approve"), ("deny", "reject")])
async def test_a_graph_goes_on_with_the_decision(new_stack: NewStack, verb: str, heard: str) -> None:
    settings = {"HOLDFAST_PYTHON_TOOL_MODULES": SAMPLES, "PYTHONPATH": str(Path(__file__).parents[2])}
    async with new_stack(pools=("langgraph",), settings=settings) as stack:
        await make_agent(stack)
        execution = await stack.start(f"{verb} [[say Paint it.]]", "painter")
        await stack.until(lambda: asks(stack, execution))

        await restart(stack)
        (approval,) = await pending(stack, execution)
        decided = await stack.http.post(f"/api/v1/approvals/{approval['id']}/{verb}", json={"note": "I say so."})
        result = await stack.result(execution)
        steps = (await stack.http.get(f"/api/v1/executions/{execution}/steps")).json()["items"]

        assert decided.is_success, decided.text
        assert result["response"].startswith(f"Paint it. 1 of 42: {heard}")
        assert len(await stack.model_calls(f"{verb} [[say")) == 1
        assert [step["name"] or step["kind"] for step in steps if step["kind"] == "tool_call"] == [
            "look_up",
            "interrupt",
        ]


async def make_agent(stack: Stack) -> None:
    await stack.agent(
        "painter",
        runtime="langgraph",
        toolsets=[{"type": "python", "functions": [f"{SAMPLES}:look_up"]}],
        configuration={"runtime_config": {"graph": f"{SAMPLES}:planning"}},
    )


async def pending(stack: Stack, execution: str) -> list[dict[str, str]]:
    asked = await stack.http.get("/api/v1/approvals", params={"status": "pending", "execution_id": execution})
    assert asked.is_success, asked.text
    return asked.json()["items"]


async def asks(stack: Stack, execution: str) -> bool:
    return bool(await pending(stack, execution))


async def restart(stack: Stack) -> None:
    for process in stack.processes.values():
        process.kill()
        process.start()
    await stack.until(stack.is_ready)
