"""The Claude Code runtime on the real CLI, against the scripted model."""

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from runtimes.errors import AttemptFenced, BudgetExceeded, ConfigurationInvalid, ModelAnswerEmpty, RuntimeFailure
from runtimes.factory import RuntimeFactory
from runtimes.types import FinishReason, Message, ToolCallCompleted, ToolResult, Wire
from tests.runtimes.claude import FILES, SHELL, Durable, finished, text_of
from tests.runtimes.model_server import ModelServer
from tests.runtimes.sandboxes import needs_sandbox
from tests.runtimes.turns import Recorder, Turns, tool

pytestmark = needs_sandbox

HELPER = {"description": "Helps.", "prompt": "You help."}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.fixture
def claude(factory: RuntimeFactory, model: ModelServer) -> Turns:
    return Turns(factory, "claude_code", model, model.endpoint(Wire.ANTHROPIC))


@pytest.fixture
def turn(claude: Turns, tmp_path: Path) -> Durable:
    return Durable(claude, tmp_path)


async def test_a_stream_comes_in_pieces_that_join_to_the_answer(turn: Durable) -> None:
    events = await turn.attempt("[[emit 30]]")

    assert len(events) == 31
    assert text_of(events) == finished(events).response
    assert finished(events).finish_reason is FinishReason.STOP
    assert await turn.model_calls() == 1


async def test_without_streaming_text_comes_in_one_piece(turn: Durable) -> None:
    events = await turn.attempt("[[say Hello there.]]", streaming=False)

    assert [text_of(events[:1]), finished(events).response] == ["Hello there.", "Hello there."]


async def test_history_and_system_prompt_reach_the_model(turn: Durable) -> None:
    history = [
        Message(role="user", content="one {a}"),
        Message(role="user", content="two"),
        Message(role="assistant", content="three"),
    ]

    events = await turn.attempt("[[history]]", system_prompt="You are {name}.", history=history)

    lines = finished(events).response.splitlines()
    assert lines[0].endswith("You are {name}.")
    assert lines[1:3] == [r"user: one {a}\n\ntwo", "assistant: three"]
    assert lines[3].startswith(f"user: {turn.marker}")


async def test_several_tool_calls_of_one_answer_run_at_once(turn: Durable) -> None:
    meeting = asyncio.Event()
    met: dict[str, int] = {}

    async def meet(tool_call_id: str, arguments: Mapping[str, Any] | str) -> ToolResult:
        assert not isinstance(arguments, str)
        met[tool_call_id] = arguments["q"]
        if len(met) == 2:
            meeting.set()
        await asyncio.wait_for(meeting.wait(), 20)
        return ToolResult(f"met {arguments['q']}")

    script = '[[say Look.;; tool lookup {"q": 1} && lookup {"q": 2};; result]]'
    events = await turn.attempt(script, tools=[tool(meet)])

    assert sorted(met.values()) == [1, 2]
    assert all(call.startswith("toolu_") for call in met)
    assert finished(events).response.splitlines() == ["met 1", "met 2"]
    assert text_of(events) == "Look.met 1\nmet 2"


async def test_bad_arguments_reach_the_tool_and_its_mistake_the_model(turn: Durable) -> None:
    lookup = Recorder(ToolResult("q has to be a number", is_error=True))

    events = await turn.attempt('[[tool lookup {"q": "x", "z": [null]};; result]]', tools=[tool(lookup)])

    assert lookup.calls == [{"q": "x", "z": [None]}]
    assert finished(events).response == "q has to be a number"


async def test_an_unknown_tool_is_told_to_the_model_and_to_the_log(turn: Durable) -> None:
    events = await turn.attempt("[[tool lokup {};; result]]", tools=[tool(Recorder())])

    assert "lokup" in finished(events).response
    completed = next(event for event in events if isinstance(event, ToolCallCompleted))
    assert (completed.name, completed.is_error) == ("lokup", True)


async def test_a_failure_behind_a_tool_ends_the_turn(turn: Durable) -> None:
    async def fenced(_: str, __: Mapping[str, Any] | str) -> ToolResult:
        raise AttemptFenced("A newer attempt has taken over.")

    with pytest.raises(AttemptFenced):
        await turn.attempt('[[tool lookup {"q": 1};; say never]]', tools=[tool(fenced)])


async def test_the_clis_own_tools_work_in_the_workspace_and_are_journalled(turn: Durable) -> None:
    script = (
        '[[tool Bash {"command": "echo one > a.txt; false"}'
        ' && Write {"file_path": "/workspace/b.txt", "content": "two"};;'
        ' tool Read {"file_path": "/workspace/a.txt"};; result]]'
    )

    events = await turn.attempt(script, toolsets=[*SHELL, *FILES])

    assert (turn.workspace / "a.txt").read_text() == "one\n"
    assert (turn.workspace / "b.txt").read_text() == "two"
    assert turn.journal.names == ["Bash", "Write", "Read"]
    assert [result.is_error for result in turn.journal.results.values()] == [True, False, False]
    assert "one" in finished(events).response


async def test_only_the_toolsets_that_were_asked_for_are_there(turn: Durable) -> None:
    await turn.attempt("[[say ok]]", toolsets=SHELL, tools=[tool(Recorder())])

    assert turn.turns.model is not None
    (call,) = await turn.turns.model.requests(turn.marker)
    assert sorted(call["tools"]) == ["Bash", "lookup"]
    assert call["model"] == "scripted-1"


@pytest.mark.parametrize("limit", [{"max_turns": 3}, {"tool_call_limit": 3}])
async def test_an_endless_loop_is_stopped(turn: Durable, limit: Mapping[str, int]) -> None:
    lookup = Recorder()

    events = await turn.attempt(
        '[[repeat-tool 50 lookup {"q": 1}]]', tools=[tool(lookup)], configuration={"runtime_config": limit}
    )

    assert finished(events).finish_reason is FinishReason.TOOL_LIMIT
    assert len(lookup.calls) == 3


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("[[finish length;; say Cut he]]", FinishReason.LENGTH),
        ("[[refuse I will not.]]", FinishReason.CONTENT_FILTER),
    ],
)
async def test_an_answer_that_was_cut_is_not_asked_for_again(turn: Durable, script: str, reason: FinishReason) -> None:
    events = await turn.attempt(script)

    assert finished(events).finish_reason is reason
    assert await turn.model_calls() == 1


async def test_a_tool_call_that_was_cut_off_is_not_run(turn: Durable) -> None:
    events = await turn.attempt('[[finish length;; tool Bash {"command": "touch x"}]]', toolsets=SHELL)

    assert finished(events).finish_reason is FinishReason.LENGTH
    assert turn.journal.begun == []
    assert not (turn.workspace / "x").exists()


@pytest.mark.parametrize("script", ["[[error 401]]", "[[error 400]]", "[[emit 3;; drop]]", "[[html]]"])
async def test_a_call_that_fails_ends_the_turn_and_is_made_once(turn: Durable, script: str) -> None:
    with pytest.raises(RuntimeFailure):
        await turn.attempt(script)

    assert await turn.model_calls() == 1


async def test_an_empty_answer_is_none(turn: Durable) -> None:
    with pytest.raises(ModelAnswerEmpty):
        await turn.attempt("[[empty]]")

    assert await turn.model_calls() == 1


@pytest.mark.parametrize(
    ("script", "output"), [('[[tool StructuredOutput {"a": 1}]]', {"a": 1}), ('[[json {"a": 1}]]', None)]
)
async def test_structured_output_is_given_apart_where_the_model_gives_it_so(
    turn: Durable, script: str, output: Any
) -> None:
    events = await turn.attempt(script, output_schema=SCHEMA)

    assert finished(events).output == output
    assert await turn.model_calls() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"configuration": {"runtime_config": {"permission_mode": "yolo"}}},
        {
            "configuration": {"runtime_config": {"permission_mode": "acceptEdits"}},
            "toolsets": [{"type": "shell", "approval": "always"}],
        },
        {"configuration": {"runtime_config": {"network": True}}},
        {"configuration": {"runtime_config": {"cwd": "../other"}}},
        {"configuration": {"runtime_config": {"cwd": "/etc"}}},
        {"configuration": {"runtime_config": {"cwd": "link"}}},
        {"configuration": {"runtime_config": {"agents": {"helper": {"description": "Helps."}}}}},
        {"configuration": {"runtime_config": {"agents": {"helper": HELPER | {"permissionMode": "bypassPermissions"}}}}},
    ],
)
async def test_settings_that_do_not_fit_are_refused(turn: Durable, changes: Mapping[str, Any]) -> None:
    (turn.workspace / "link").symlink_to("/etc")

    with pytest.raises(ConfigurationInvalid):
        await turn.attempt("[[say x]]", **changes)

    assert await turn.model_calls() == 0


async def test_it_works_in_the_directory_that_it_is_given(turn: Durable) -> None:
    history = [Message(role="user", content="one"), Message(role="assistant", content="two")]
    settings = {"runtime_config": {"cwd": "src/my_app"}}

    events = await turn.attempt(
        '[[tool Bash {"command": "pwd"};; result;; history]]', toolsets=SHELL, history=history, configuration=settings
    )

    assert finished(events).response.startswith("/workspace/src/my_app ")
    assert "assistant: two" in finished(events).response
    assert (turn.workspace / "src" / "my_app").is_dir()


async def test_a_turn_ends_when_it_has_cost_enough(turn: Durable) -> None:
    script = '[[usage 2000000 9;; tool Bash {"command": "touch a"};; tool Bash {"command": "touch b"};; say never]]'

    with pytest.raises(BudgetExceeded):
        await turn.attempt(script, toolsets=SHELL, configuration={"runtime_config": {"max_budget_usd": 0.01}})

    assert await turn.model_calls() == 1
    assert not (turn.workspace / "b").exists()


@pytest.mark.parametrize(("mode", "runs"), [("plan", False), ("dontAsk", False), ("bypassPermissions", True)])
async def test_a_permission_mode_is_the_clis_own(turn: Durable, mode: str, runs: bool) -> None:
    settings = {"runtime_config": {"permission_mode": mode}}

    await turn.attempt('[[tool Bash {"command": "touch x"};; result]]', toolsets=SHELL, configuration=settings)

    assert (turn.workspace / "x").exists() is runs
    assert [result.is_error for result in turn.journal.results.values()] == [not runs]


async def test_a_subagent_does_its_part(turn: Durable) -> None:
    task = {"subagent_type": "helper", "description": "d", "prompt": "[[say The part is done.]]"}
    settings = {"runtime_config": {"agents": {"helper": HELPER}}}

    events = await turn.attempt(
        f"[[tool Agent {json.dumps(task)};; result]]", toolsets=[{"type": "task"}], configuration=settings
    )

    assert "The part is done." in finished(events).response
    assert turn.journal.names == ["Agent"]


async def test_the_web_is_not_the_clis_own_affair(turn: Durable) -> None:
    """Its tools would ask wherever the worker can, and one of them needs Anthropic's own servers."""
    await turn.attempt("[[say ok]]", toolsets=[{"type": "web"}], tools=[tool(Recorder(), "web_fetch")])

    assert turn.turns.model is not None
    (call,) = await turn.turns.model.requests(turn.marker)
    assert call["tools"] == ["web_fetch"]


@pytest.mark.parametrize("script", ["[[emit 3;; hang]]", '[[tool Bash {"command": "sleep 1000"};; say x]]'])
async def test_a_cancel_ends_everything_even_when_it_comes_twice(turn: Durable, script: str) -> None:
    task = asyncio.create_task(turn.attempt(script, toolsets=SHELL))
    await turn.turns.calls(turn.marker)
    await asyncio.sleep(0.5)

    began = time.perf_counter()
    task.cancel()
    await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    took = time.perf_counter() - began

    assert took < 2
    assert _sandboxes() == []
    assert (await turn.turns.calls(turn.marker))[-1]["outcome"] != "running"


def _sandboxes() -> list[int]:
    return [child.pid for child in psutil.Process().children(recursive=True) if child.name() in ("bwrap", "claude")]
