"""An agent that runs another one: its turn waits for it, and takes it along where it ends."""

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.invariants import assert_ended_well
from tests.stack import Stack

#: Brackets in JSON that are no directions to the parent's own model.
OPENING, CLOSING = r"\u005b", r"\u005d"


def runs(agent: str, script: str) -> str:
    """A prompt that has an agent run another one with a script of its own."""
    arguments = json.dumps({"agent": agent, "prompt": f"[[{script}]]"})
    return f"[[tool run_agent {arguments.replace('[', OPENING).replace(']', CLOSING)};; result]]"


@pytest.fixture
async def parent(stack: Stack) -> str:
    """An agent that may run `plain`."""
    name = f"parent-{uuid4()}"
    await stack.agent(name, toolsets=[{"type": "task", "agents": ["plain"]}])
    return name


async def child_of(stack: Stack, execution: str) -> dict[str, Any]:
    """The child of a suspended execution."""
    waits = (await stack.until_event(execution, "execution.waiting"))["data"]["waits"]
    return await stack.get(waits[0])


async def test_a_childs_answer_is_the_calls_result(stack: Stack, parent: str) -> None:
    execution = await stack.start(runs("plain", "wait 1;; say from the child"), parent)
    child = await child_of(stack, execution)

    assert (await stack.result(execution))["response"] == "from the child"
    assert child["parent_id"] == execution
    assert (await stack.get(execution))["usage"]["tool_calls"] == 1
    for each in (execution, child["id"]):
        events = await assert_ended_well(stack, each)
        told = [event["type"] for event in events if event["type"].startswith("tool.")]
        assert told == (["tool.started", "tool.completed"] if each == execution else [])


@pytest.mark.parametrize("verb", ["interrupt", "cancel"])
async def test_who_stops_a_waiting_parent_stops_its_child(stack: Stack, parent: str, verb: str) -> None:
    execution = await stack.start(runs("plain", "hang"), parent, interactive=True)
    child = await child_of(stack, execution)
    await stack.until_status(child["id"], "running")

    answer = await stack.http.post(f"/api/v1/executions/{execution}/{verb}")

    assert answer.status_code == 202, answer.text
    await stack.until_status(child["id"], "cancelled", timeout=20)
    await assert_ended_well(stack, child["id"], "cancelled")
    if verb == "interrupt":
        await stack.until_event(execution, "turn.interrupted")
        await stack.http.post(f"/api/v1/executions/{execution}/close")
    await stack.result(execution)
    await assert_ended_well(stack, execution, "completed" if verb == "interrupt" else "cancelled")


async def test_a_parent_and_its_children_stay_within_its_limit_together(stack: Stack) -> None:
    marker = uuid4().hex
    worker = f"worker-{marker}"
    await stack.agent(worker)
    limits = {"budget": {"model_calls": 6}}
    toolsets = [{"type": "task", "agents": [worker]}]
    parent = await stack.agent(f"family-{marker}", toolsets=toolsets, configuration=limits)
    asks = [
        json.dumps({"agent": worker, "prompt": f"[[say one]] {marker} {number}"}).replace("[", OPENING)
        for number in range(8)
    ]
    script = " && ".join(f"run_agent {each.replace(']', CLOSING)}" for each in asks)

    execution = await stack.start(f"[[tool {script};; say done]] {marker}", parent["name"])
    result = await stack.result(execution)

    shown = await stack.get(execution)
    assert len(await stack.model_calls(marker)) == 6
    assert (result["error"]["code"], shown["usage"]["model_calls"]) == ("budget_exceeded", 6)
    assert shown["children_usage"]["model_calls"] == 5
