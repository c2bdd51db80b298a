"""The default runtime against the scripted model, on both wires."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest

from runtimes.errors import (
    AttemptFenced,
    ModelAuthentication,
)
from runtimes.factory import RuntimeFactory
from runtimes.types import (
    FinishReason,
    Message,
    ModelEndpoint,
    TextDelta,
    ToolCallCompleted,
    ToolCallStarted,
    ToolResult,
    Usage,
    Wire,
)
from tests.runtimes.model_server import ModelServer
from tests.runtimes.turns import Recorder, Turns, tool


async def test_a_plain_prompt_is_answered(both_ways: Turns) -> None:
    ran = await both_ways.run("[[say Hello there, friend.]]")

    assert ran.finished.response == "Hello there, friend."
    assert ran.finished.finish_reason is FinishReason.STOP
    assert ran.calls.model == "scripted-1"
    assert "".join(ran.deltas) == "Hello there, friend."


async def test_a_stream_comes_in_pieces_that_join_to_the_answer(turns: Turns) -> None:
    ran = await turns.run("[[emit 200]]")

    assert len(ran.deltas) == 200
    assert "".join(ran.deltas) == ran.finished.response
    assert [call["stream"] for call in await turns.calls(ran.marker)] == [True]


async def test_without_streaming_the_provider_is_not_asked_to_stream(
    factory: RuntimeFactory, model: ModelServer, wire: Wire
) -> None:
    turns = Turns(factory, "default", model, model.endpoint(wire), streaming=False)

    ran = await turns.run("[[emit 5]]")

    assert ran.deltas == ["tok1 tok2 tok3 tok4 tok5"]
    assert [call["stream"] for call in await turns.calls(ran.marker)] == [False]


async def test_system_prompt_and_history_reach_the_model_unchanged(both_ways: Turns) -> None:
    history = [Message(role="user", content="first {a}"), Message(role="assistant", content="second {{b}}")]

    ran = await both_ways.run("[[history]]", system_prompt="You are {name}.", history=history)

    lines = ran.finished.response.splitlines()
    assert lines[:3] == ["system: You are {name}.", "user: first {a}", "assistant: second {{b}}"]
    assert lines[3].startswith(f"user: {ran.marker}")


async def test_a_tool_is_called_and_its_result_reaches_the_model(both_ways: Turns) -> None:
    lookup = Recorder(ToolResult("the answer is 42"))

    ran = await both_ways.run('[[say Let me look.;; tool lookup {"q": 1};; result]]', tools=[tool(lookup)])

    assert lookup.calls == [{"q": 1}]
    assert ran.finished.response == "the answer is 42"
    assert "".join(ran.deltas) == "Let me look.the answer is 42"


async def test_several_tool_calls_of_one_answer_run_at_once(both_ways: Turns) -> None:
    meeting = asyncio.Event()
    met: list[int] = []

    async def meet(_: str, arguments: Mapping[str, Any] | str) -> ToolResult:
        assert not isinstance(arguments, str)
        met.append(arguments["q"])
        if len(met) == 3:
            meeting.set()
        await asyncio.wait_for(meeting.wait(), 5)
        return ToolResult(f"met {arguments['q']}")

    script = '[[tool lookup {"q": 1} && lookup {"q": 2} && lookup {"q": 3};; result]]'
    ran = await both_ways.run(script, tools=[tool(meet)])

    assert sorted(met) == [1, 2, 3]
    assert ran.finished.response.splitlines() == ["met 1", "met 2", "met 3"]


async def test_text_before_a_tool_call_is_told_before_the_tool_runs(turns: Turns) -> None:
    told: list[str] = []

    async def listen(_: str, __: Mapping[str, Any] | str) -> ToolResult:
        told.append("tool")
        return ToolResult("")

    runtime = turns.factory.create_runtime("default")
    context = turns.context('[[say One two.;; tool lookup {"q": 1};; say Three.]]', tools=[tool(listen)])
    async for event in runtime.stream_execute(context):
        if isinstance(event, TextDelta):
            told.append(event.text)

    assert told == ["One", " two.", "tool", "Three."]


async def test_arguments_are_given_as_the_model_wrote_them(both_ways: Turns) -> None:
    lookup = Recorder()

    await both_ways.run('[[tool lookup {"q": "none", "z": ["True", null]};; result]]', tools=[tool(lookup)])

    assert lookup.calls == [{"q": "none", "z": ["True", None]}]


async def test_broken_arguments_are_given_as_text(factory: RuntimeFactory, model: ModelServer) -> None:
    lookup = Recorder(ToolResult("not valid", is_error=True))
    turns = Turns(factory, "default", model, model.endpoint(Wire.OPENAI))

    ran = await turns.run('[[tool lookup {"q": 1;; result]]', tools=[tool(lookup)])

    assert lookup.calls == ['{"q": 1']
    assert ran.finished.response == "not valid"


async def test_an_unknown_tool_is_told_to_the_model_and_to_the_log(both_ways: Turns) -> None:
    ran = await both_ways.run('[[tool lokup {"q": 1};; result]]', tools=[tool(Recorder())])

    text = "There is no tool 'lokup'. Known tools: lookup."
    assert ran.finished.response == text
    started, completed = ran.events[:2]
    assert isinstance(started, ToolCallStarted)
    assert started.name == "lokup"
    assert completed == ToolCallCompleted(started.tool_call_id, "lokup", text, is_error=True)


async def test_a_tool_that_failed_is_told_to_the_model(both_ways: Turns) -> None:
    lookup = Recorder(ToolResult("no such city", is_error=True))

    ran = await both_ways.run('[[tool lookup {"q": 1};; result]]', tools=[tool(lookup)])

    assert ran.finished.response == "no such city"


async def test_a_failure_behind_a_tool_ends_the_turn(both_ways: Turns) -> None:
    async def fenced(_: str, __: Mapping[str, Any] | str) -> ToolResult:
        raise AttemptFenced("A newer attempt has taken over.")

    with pytest.raises(AttemptFenced):
        await both_ways.run('[[tool lookup {"q": 1};; say never]]', tools=[tool(fenced)])


@pytest.mark.parametrize("name", ["lookup", "unknown"])
async def test_an_endless_loop_is_stopped(both_ways: Turns, name: str) -> None:
    configuration = {"runtime_config": {"max_turns": 4}}
    script = f'[[repeat-tool 1000 {name} {{"q": 1}}]]'

    ran = await both_ways.run(script, tools=[tool(Recorder())], configuration=configuration)

    assert ran.finished.finish_reason is FinishReason.TOOL_LIMIT
    assert ran.calls.usage.model_calls == 4
    assert len(await both_ways.calls(ran.marker)) == 4


async def test_no_more_tools_run_than_the_limit_allows(both_ways: Turns) -> None:
    lookup = Recorder()
    configuration = {"runtime_config": {"tool_call_limit": 3}}
    script = '[[repeat-tool 50 lookup {"q": 1}]]'

    ran = await both_ways.run(script, tools=[tool(lookup)], configuration=configuration)

    assert len(lookup.calls) == 3
    assert ran.finished.finish_reason is FinishReason.TOOL_LIMIT


async def test_usage_is_summed_over_all_calls_and_the_same_on_every_wire(both_ways: Turns) -> None:
    script = '[[usage 100 10 cached 40 reasoning 3;; tool lookup {"q": 1};; usage 200 20 cached 150;; say Done.]]'

    ran = await both_ways.run(script, tools=[tool(Recorder())])

    assert ran.calls.usage == Usage(
        input_tokens=300,
        output_tokens=30,
        cached_input_tokens=190,
        reasoning_tokens=3,
        model_calls=2,
    )


@pytest.mark.parametrize(
    ("script", "reason", "response"),
    [
        ("[[finish length;; say Cut he]]", FinishReason.LENGTH, "Cut he"),
        ("[[finish content_filter;; say No]]", FinishReason.CONTENT_FILTER, "No"),
        ("[[refuse I will not.]]", FinishReason.CONTENT_FILTER, "I will not."),
        ("[[finish length;; empty]]", FinishReason.LENGTH, ""),
    ],
)
async def test_finish_reasons_are_told(both_ways: Turns, script: str, reason: FinishReason, response: str) -> None:
    ran = await both_ways.run(script)

    assert ran.finished.finish_reason is reason
    assert ran.finished.response == response


async def test_a_tool_call_that_was_cut_off_is_not_run(both_ways: Turns) -> None:
    lookup = Recorder()

    ran = await both_ways.run('[[finish length;; say Well.;; tool lookup {"q": 1}]]', tools=[tool(lookup)])

    assert lookup.calls == []
    assert ran.finished.finish_reason is FinishReason.LENGTH
    assert ran.finished.response == "Well."


async def test_an_empty_answer_after_tools_is_an_answer(both_ways: Turns) -> None:
    ran = await both_ways.run('[[tool lookup {"q": 1};; empty]]', tools=[tool(Recorder())])

    assert ran.finished.response == ""
    assert ran.finished.finish_reason is FinishReason.STOP


async def test_a_hanging_call_is_cancelled_at_once(both_ways: Turns) -> None:
    marker = f"hang-{time.time_ns()}"
    task = asyncio.create_task(both_ways.run(f"{marker} [[emit 3;; hang]]"))
    await both_ways.calls(marker)

    began = time.perf_counter()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    took = time.perf_counter() - began

    assert took < 0.2
    await both_ways.calls(marker, until="aborted")


async def test_leaving_the_stream_stops_the_call_at_once(turns: Turns) -> None:
    marker = f"leave-{time.time_ns()}"
    events = turns.factory.create_runtime("default").stream_execute(turns.context(f"{marker} [[emit 3;; hang]]"))

    assert isinstance(await anext(events), TextDelta)
    began = time.perf_counter()
    await events.aclose()
    took = time.perf_counter() - began

    assert took < 0.2
    await turns.calls(marker, until="aborted")


async def test_a_cancel_reaches_a_running_tool(both_ways: Turns) -> None:
    ended = asyncio.Event()
    started = asyncio.Event()

    async def slow(_: str, __: Mapping[str, Any] | str) -> ToolResult:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return ToolResult("")

    task = asyncio.create_task(both_ways.run('[[tool lookup {"q": 1};; say x]]', tools=[tool(slow)]))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended.is_set()


async def test_fifty_executions_at_once_never_see_each_other(both_ways: Turns) -> None:
    async def one(number: int) -> tuple[str, str]:
        canary = f"canary-{number:03}"
        history = [Message(role="user", content=canary), Message(role="assistant", content=canary)]
        lookup = Recorder(ToolResult(canary))
        script = '[[tool lookup {"q": 1};; history]]'
        ran = await both_ways.run(script, system_prompt=canary, history=history, tools=[tool(lookup)])
        return canary, ran.finished.response

    answers = await asyncio.gather(*(one(number) for number in range(50)))

    for canary, response in answers:
        assert response.count(canary) >= 3
        assert response.count("canary-") == response.count(canary)


@pytest.fixture
def poisoned_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI", "ANTHROPIC"):
        monkeypatch.setenv(f"{name}_API_KEY", "sk-poison-key")
        monkeypatch.setenv(f"{name}_BASE_URL", "http://127.0.0.1:9/poison")
        monkeypatch.setenv(f"{name}_CUSTOM_HEADERS", "Authorization: Bearer poison\nx-poison: yes")
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE"):
        monkeypatch.setenv(name, "poison")
    for name in ("AGNO_TELEMETRY", "AGNO_DEBUG"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")


@pytest.mark.usefixtures("poisoned_environment")
async def test_the_environment_changes_no_answer(model: ModelServer, wire: Wire) -> None:
    factory = RuntimeFactory()

    ran = await Turns(factory, "default", model, model.endpoint(wire)).run("[[say untouched]]")
    await factory.close()

    assert ran.finished.response == "untouched"


@pytest.mark.usefixtures("poisoned_environment")
async def test_the_environment_reaches_no_request(wire: Wire) -> None:
    heads: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    factory = RuntimeFactory()
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        endpoint = ModelEndpoint(f"http://127.0.0.1:{port}/v1", "sk-the-right-one", wire, "m", "p")
        with pytest.raises(ModelAuthentication):
            await Turns(factory, "default", None, endpoint).run("hello")
    await factory.close()

    assert len(heads) == 1
    assert b"sk-the-right-one" in heads[0]
    assert b"poison" not in heads[0]


async def test_model_parameters_and_tool_schemas_reach_the_wire(turns: Turns, wire: Wire) -> None:
    lookup = tool(Recorder())
    configuration = {"temperature": 0.5, "max_tokens": 77, "top_p": 0.9, "stop": "END"}

    ran = await turns.run("[[say ok]]", tools=[lookup], configuration=configuration)

    body = (await turns.calls(ran.marker))[0]["body"]
    assert (body["temperature"], body["max_tokens"], body["top_p"]) == (0.5, 77, 0.9)
    sent = body["tools"][0]
    if wire is Wire.OPENAI:
        assert body["stop"] == "END"
        assert sent["function"] == {
            "name": "lookup",
            "description": lookup.description,
            "parameters": lookup.parameters,
        }
    else:
        assert body["stop_sequences"] == ["END"]
        assert sent == {"name": "lookup", "description": lookup.description, "input_schema": lookup.parameters}
