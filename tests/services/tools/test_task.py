"""The toolset `task`: a child that runs suspends the turn, one that has ended is the result."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runtimes.errors import AgentUnknown, RuntimeFailure, ToolsetInvalid
from runtimes.types import ExecutionError, ToolResult
from services.control_plane_client.models import ChildState
from services.tools.gateway import ToolGateway
from services.tools.place import TurnPlace
from services.tools.toolsets import Toolsets
from services.turn_control import QuestionKind
from tests.services.tools.desks import Remembering, desk_of

TASK = {"type": "task", "agents": ["writer"]}
BOOM = ExecutionError(code="boom", message="It broke.")
ARGUMENTS = {"agent": "writer", "prompt": "a poem"}


@dataclass
class Agents:
    """Executions of other agents, in the state that a test wants."""

    state: ChildState | RuntimeFailure
    asked: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])

    async def start(self, key: str, agent: str, prompt: str) -> ChildState:
        self.asked.append((key, agent, prompt))
        if isinstance(self.state, RuntimeFailure):
            raise self.state
        return self.state


def place(agents: Agents, memory: Remembering) -> TurnPlace:
    return TurnPlace(Path("/nonexistent"), "execution", "organization", 1, 1, agents.start, memory)


async def run(agents: Agents, memory: Remembering, arguments: Mapping[str, Any] = ARGUMENTS) -> ToolResult:
    """Call the tool through its gateway."""
    async with Toolsets().open([TASK], place(agents, memory)) as specs:
        (tool,) = ToolGateway(specs, desk_of(memory)).tools()
        return await tool.call("call_1", arguments)


async def test_an_ended_child_is_the_result() -> None:
    agents = Agents(ChildState(id="c", status="completed", response="roses"))

    result = await run(agents, Remembering())

    assert (result.text, result.is_error) == ("roses", False)
    ((key, *asked),) = agents.asked
    assert (asked, len(key)) == (["writer", "a poem"], 36)


async def test_a_running_child_is_waited_for_without_a_worker() -> None:
    agents, memory = Agents(ChildState(id="c", status="queued")), Remembering()
    calling = asyncio.create_task(run(agents, memory))
    while not memory.asked:
        await asyncio.sleep(0)

    calling.cancel()

    (question,) = memory.asked
    assert (question.kind, question.key, question.name) == (QuestionKind.CHILD, "c", "writer")
    with pytest.raises(asyncio.CancelledError):
        await calling


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (
            ChildState(id="c", status="failed", error=BOOM),
            "boom: It broke.",
        ),
        (ChildState(id="c", status="cancelled"), "(cancelled): it was stopped"),
        (AgentUnknown("There is no agent 'writer'."), "There is no agent 'writer'."),
    ],
)
async def test_a_child_that_comes_to_nothing_is_told_as_an_error(state: ChildState | RuntimeFailure, told: str) -> None:
    result = await run(Agents(state), Remembering())

    assert result.is_error
    assert told in result.text


@pytest.mark.parametrize(("prompt", "told"), [("a\x00b", "U+0000"), ("a\ud800b", "half of a surrogate pair")])
async def test_a_prompt_that_nobody_can_store_goes_back_to_the_model(prompt: str, told: str) -> None:
    agents = Agents(ChildState(id="c", status="completed", response="roses"))

    result = await run(agents, Remembering(), {"agent": "writer", "prompt": prompt})

    assert (result.is_error, told in result.text, agents.asked) == (True, True, [])


async def test_a_failure_of_the_worker_is_none_of_the_tool() -> None:
    with pytest.raises(RuntimeFailure, match="fenced"):
        await run(Agents(RuntimeFailure("fenced")), Remembering())


async def test_a_task_without_agents_is_refused() -> None:
    agents = Agents(ChildState(id="c", status="queued"))

    with pytest.raises(ToolsetInvalid, match="names no agents"):
        async with Toolsets().open([{"type": "task"}], place(agents, Remembering())):
            raise AssertionError
