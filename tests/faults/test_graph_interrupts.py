"""Interrupts of users' graphs are decided after every process was restarted."""

from functools import partial
from pathlib import Path

import pytest

from tests.conftest import NewStack
from tests.stack import Stack

pytestmark = [pytest.mark.timeout(300), pytest.mark.whole]
SAMPLES = "tests.runtimes.sample_graphs"


async def test_graphs_go_on_with_their_decisions(new_stack: NewStack) -> None:
    settings = {"HOLDFAST_PYTHON_TOOL_MODULES": SAMPLES, "PYTHONPATH": str(Path(__file__).parents[2])}
    async with new_stack(pools=("langgraph",), settings=settings) as stack:
        await make_agent(stack)
        executions = [await stack.start("[[say Paint it.]]", "painter") for _ in range(2)]
        for execution in executions:
            await stack.until(partial(asks, stack, execution))

        await restart(stack)
        for execution, verb in zip(executions, ("approve", "deny"), strict=True):
            await decide(stack, execution, verb)
        approved, denied = [(await stack.result(execution))["response"] for execution in executions]

        assert approved == "Paint it. 1 of 42: approve"
        assert denied.startswith("Paint it. 1 of 42: reject")
        assert await stack.model_calls("Paint") == [], "the model that was started anew is asked nothing again"
        assert await tool_calls(stack, executions[0]) == ["look_up", "interrupt"]


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


async def decide(stack: Stack, execution: str, verb: str) -> None:
    (approval,) = await pending(stack, execution)
    decided = await stack.http.post(f"/api/v1/approvals/{approval['id']}/{verb}", json={"note": "I say so."})
    assert decided.is_success, decided.text


async def tool_calls(stack: Stack, execution: str) -> list[str]:
    steps = (await stack.http.get(f"/api/v1/executions/{execution}/steps")).json()["items"]
    return [step["name"] for step in steps if step["kind"] == "tool_call"]


async def restart(stack: Stack) -> None:
    for process in stack.processes.values():
        process.kill()
        process.start()
    await stack.until(stack.is_ready)
