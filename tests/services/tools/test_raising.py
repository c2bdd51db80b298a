"""Whatever a tool raises is the tool's error; a cancellation of the turn still ends its calls."""

import asyncio
from pathlib import Path

import pytest

from runtimes.types import Tool, ToolCallCompleted
from services.tools.toolsets import Toolsets
from tests.services.tools import raising
from tests.services.tools.desks import Remembering, tools_of
from tests.services.tools.raising import RAISED

MODULE = raising.__name__


def tool_of(name: str, tmp_path: Path, memory: Remembering | None = None) -> Tool:
    wanted = [{"type": "python", "functions": [f"{MODULE}:{name}"], "timeout_seconds": 5}]
    (tool,) = tools_of(Toolsets([MODULE]).build(wanted, tmp_path), memory)
    return tool


@pytest.mark.parametrize("kind", RAISED)
@pytest.mark.parametrize("function", ["throw", "throw_async"])
async def test_whatever_a_function_raises_is_its_tools_error(function: str, kind: str, tmp_path: Path) -> None:
    memory = Remembering()
    tool = tool_of(function, tmp_path, memory)

    async with asyncio.timeout(3):
        result = await tool.call("c1", {"kind": kind})

    assert result.is_error
    assert type(RAISED[kind]).__name__ in result.text
    assert memory.heard[-1] == ToolCallCompleted("c1", function, result.text, is_error=True)
    assert memory.types == ["tool.started", "tool.completed"]


@pytest.mark.parametrize("function", ["cancel_below", "cancel_itself"])
async def test_a_cancellation_that_a_function_caused_is_its_tools_error(function: str, tmp_path: Path) -> None:
    tool = tool_of(function, tmp_path)

    result = await tool.call("c1", {})

    assert result.is_error
    assert "CancelledError" in result.text


async def test_a_function_cannot_turn_a_cancellation_of_its_turn_into_its_own_error(tmp_path: Path) -> None:
    memory = Remembering()
    tool = tool_of("leave_when_cancelled", tmp_path, memory)
    call = asyncio.ensure_future(tool.call("c1", {}))
    await asyncio.sleep(0.05)

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    assert memory.types == ["tool.started", "tool.completed"]


async def test_a_function_that_answers_its_deadline_with_an_exit_has_failed(tmp_path: Path) -> None:
    wanted = [{"type": "python", "functions": [f"{MODULE}:leave_when_cancelled"], "timeout_seconds": 0.05}]
    (tool,) = tools_of(Toolsets([MODULE]).build(wanted, tmp_path))

    result = await tool.call("c1", {})

    assert result.is_error
    assert result.text == "'leave_when_cancelled' was stopped after 0.05 s."
