"""What is recorded as used is what was used, however an attempt ended; the scripted model's log is the witness."""

from uuid import uuid4

import pytest

from tests.invariants import assert_ended_well
from tests.stack import Stack

#: The first of two model calls, with usage of its own; it ends in a tool call.
FIRST = "[[usage 100 10;; tool list_files {};;"


@pytest.fixture(scope="module", autouse=True)
async def _librarian(stack: Stack) -> None:
    await stack.agent("librarian", toolsets=[{"type": "file_system"}])


@pytest.mark.parametrize("act", ["cancel", "interrupt"])
async def test_a_turn_that_was_stopped_is_counted(stack: Stack, act: str) -> None:
    marker = uuid4().hex
    execution = await stack.start(f"{FIRST} emit 3;; hang]] {marker}", "librarian")
    await stack.until_event(execution, "tool.completed")
    await stack.until_event(execution, "message.delta")

    await stack.http.post(f"/api/v1/executions/{execution}/{act}")
    result = await stack.result(execution)

    assert result["usage"]["model_calls"] == len(await stack.model_calls(marker)) == 2
    assert (result["usage"]["input_tokens"], result["usage"]["output_tokens"]) == (100, 10)
    assert (result["usage"]["tool_calls"], result["model"]) == (1, "scripted")
    await assert_ended_well(stack, execution, {"cancel": "cancelled", "interrupt": "completed"}[act])


async def test_a_turn_that_failed_for_good_is_counted(stack: Stack) -> None:
    marker = uuid4().hex
    execution = await stack.start(f"{FIRST} error 401]] {marker}", "librarian")

    result = await stack.result(execution)

    assert result["error"]["code"] == "model_authentication"
    assert result["usage"]["model_calls"] == len(await stack.model_calls(marker)) == 2
    assert (result["usage"]["input_tokens"], result["model"]) == (100, "scripted")
    types = [event["type"] for event in await assert_ended_well(stack, execution, "failed")]
    assert types[-3:] == ["usage", "attempt.failed", "execution.failed"]


async def test_a_call_that_failed_counts_and_none_is_paid_twice(stack: Stack) -> None:
    marker = uuid4().hex
    script = f"{FIRST} error 429 retry-after 1 times 1;; usage 5 1;; say done]] {marker}"
    execution = await stack.start(script, "librarian")

    result = await stack.result(execution)

    assert result["response"] == "done"
    assert result["usage"]["model_calls"] == len(await stack.model_calls(marker)) == 3
    assert (result["usage"]["input_tokens"], result["usage"]["tool_calls"]) == (105, 1)
    await assert_ended_well(stack, execution)
    handle = stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"])
    assert (await handle.result())["usage"] == result["usage"]


@pytest.mark.parametrize("ending", ["hang", "say done", "error 401"])
async def test_an_execution_that_has_ended_leaves_no_files_behind(stack: Stack, ending: str) -> None:
    workspaces = stack.directory / "data" / "workspaces"

    async def is_gone() -> bool:
        return not (workspaces / execution).exists()

    note = '{"path": "note.txt", "content": "x"}'
    execution = await stack.start(f"[[tool write_file {note};; {ending}]]", "librarian")
    await stack.until_event(execution, "tool.completed")

    await stack.http.post(f"/api/v1/executions/{execution}/cancel")
    await stack.result(execution)

    await stack.until(is_gone, timeout=5)
