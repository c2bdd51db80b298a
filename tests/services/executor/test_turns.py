"""Turns of the default runtime through the whole system."""

from pathlib import Path
from uuid import uuid4

from tests.invariants import assert_ended_well
from tests.stack import Stack


async def test_a_turn_with_tools_tells_its_story(stack: Stack, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    tmp_path.chmod(0o777)
    await stack.agent("clerk", toolsets=[{"type": "python", "functions": ["tests.tools:append_line"]}])
    call = f'append_line {{"path": "{ledger}", "line": "x"}}'
    execution = await stack.start(f"[[say first;; tool {call};; say done]]", "clerk")

    result = await stack.result(execution)

    assert (result["response"], ledger.read_text()) == ("done", "x\n")
    events = await assert_ended_well(stack, execution)
    assert [event["type"] for event in events] == [
        "execution.accepted",
        "turn.started",
        "attempt.started",
        "message.completed",
        "tool.started",
        "tool.completed",
        "message.completed",
        "usage",
        "turn.completed",
        "execution.completed",
    ]
    assert result["tool_messages"][0]["result"] == "wrote x"
    assert (result["usage"]["model_calls"], result["usage"]["tool_calls"]) == (2, 1)


async def test_a_tool_that_fails_is_told_to_the_model(stack: Stack) -> None:
    await stack.agent("clumsy", toolsets=[{"type": "python", "functions": ["tests.tools:fail"]}])
    execution = await stack.start('[[tool fail {"reason": "no luck"};; result]]', "clumsy")

    result = await stack.result(execution)

    assert "no luck" in result["response"]
    assert result["tool_messages"][0]["is_error"]


async def test_an_agent_cannot_name_code_that_the_worker_does_not_allow(stack: Stack) -> None:
    await stack.agent("thief", toolsets=[{"type": "python", "functions": ["os:system"]}])
    execution = await stack.start("[[say x]]", "thief")

    result = await stack.result(execution)

    assert result["error"]["code"] == "toolset_invalid"
    events = await assert_ended_well(stack, execution, "failed")
    assert [event["type"] for event in events].count("attempt.started") == 1


async def test_an_unknown_model_warns_at_creation_and_fails_once(stack: Stack) -> None:
    agent = await stack.agent("without-model", model_id="nowhere/model")
    execution = await stack.start("hi", "without-model")

    result = await stack.result(execution)

    assert agent["warnings"][0]["code"] == "model_unknown"
    assert (result["error"]["code"], result["error"]["retryable"]) == ("model_unknown", False)
    events = await assert_ended_well(stack, execution, "failed")
    assert [event["type"] for event in events].count("attempt.started") == 1


async def test_a_missing_key_names_its_remedy(stack: Stack) -> None:
    agent = await stack.agent("keyless", model_id="gpt-5")
    execution = await stack.start("hi", "keyless")

    result = await stack.result(execution)

    assert agent["warnings"][0]["code"] == "credential_missing"
    assert result["error"]["code"] == "credential_missing"
    assert "OPENAI_API_KEY" in result["error"]["hint"]


async def test_a_rate_limit_is_waited_for_and_retried(stack: Stack) -> None:
    marker = uuid4().hex
    execution = await stack.start(f"[[error 429 retry-after 1 times 1;; say through]] {marker}")

    result = await stack.result(execution)

    assert result["response"] == "through"
    types = [event["type"] for event in await assert_ended_well(stack, execution)]
    assert types.count("attempt.started") == 1
    assert len(await stack.model_calls(marker)) == 2


async def test_a_turn_that_fails_each_time_is_tried_five_times(stack: Stack) -> None:
    execution = await stack.start("[[crash]]", "plain")

    result = await stack.result(execution)

    assert result["error"]["code"] == "runtime_crashed"
    events = await assert_ended_well(stack, execution, "failed")
    assert [event["type"] for event in events].count("attempt.failed") == 5


async def test_the_anthropic_wire_answers_the_same(stack: Stack) -> None:
    await stack.agent("other-wire", model_id="anthropic_scripted/claude-scripted", toolsets=[{"type": "file_system"}])
    execution = await stack.start("[[tool list_files {};; emit 5;; say end]]", "other-wire")

    result = await stack.result(execution)

    assert result["response"] == "tok1 tok2 tok3 tok4 tok5 end"
    assert result["usage"]["model_calls"] == 2


async def test_a_session_carries_its_messages_across_executions(stack: Stack) -> None:
    first = await stack.start("[[say one]]")
    session = (await stack.result(first))["session_id"]

    second = await stack.start("[[history]]", session_id=session)

    lines = (await stack.result(second))["response"].splitlines()
    assert lines == ["user: [[say one]]", "assistant: one", "user: [[history]]"]


async def test_a_prompt_of_a_megabyte_travels_by_reference(stack: Stack) -> None:
    execution = await stack.start("[[say read]] " + "x" * 1_000_000)

    result = await stack.result(execution)

    assert result["response"] == "read"
    handle = stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"])
    assert len((await handle.fetch_history()).to_json()) < 50_000


async def test_a_runtime_can_be_chosen_for_one_execution(stack: Stack) -> None:
    execution = await stack.start("hi", runtime="scripted")

    result = await stack.result(execution)

    assert (result["response"], result["runtime"]) == ("You said: hi", "scripted")
