"""The one door of all tool calls."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest

from runtimes.errors import AttemptFenced, ToolsetInvalid
from runtimes.types import Tool, ToolCallCompleted, ToolCallStarted, ToolResult
from services.tools.spec import Call, Handler, ToolFailed, ToolSpec
from tests.services.tools.desks import Remembering, tools_of

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 50}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city"],
    "additionalProperties": False,
}


def behind_door(handler: Handler, **fields: Any) -> tuple[Tool, Remembering]:
    memory = Remembering()
    spec = ToolSpec("weather", "Tells the weather.", fields.pop("parameters", SCHEMA), handler, **fields)
    (tool,) = tools_of([spec], memory)
    return tool, memory


async def sunny(arguments: Mapping[str, Any], _: Call) -> str:
    return f"sunny in {arguments['city']}"


async def test_a_call_is_reported_before_and_after() -> None:
    tool, observer = behind_door(sunny)

    result = await tool.call("c1", {"city": "Graz"})

    assert result == ToolResult("sunny in Graz")
    assert observer.heard == [
        ToolCallStarted("c1", "weather", '{"city": "Graz"}'),
        ToolCallCompleted("c1", "weather", "sunny in Graz"),
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, '"city" is a required property'),
        ({"city": 5}, "At /city: 5 is not of type"),
        ({"city": "Graz", "days": 0}, "At /days: 0 is less than"),
        ({"city": "Graz", "town": 1}, "'town' was unexpected"),
        ('{"city": "Gr', "have to be a JSON object"),
    ],
)
async def test_arguments_that_do_not_fit_go_back_to_the_model(arguments: Mapping[str, Any] | str, told: str) -> None:
    async def never(_: Mapping[str, Any], __: Call) -> str:
        raise AssertionError("The tool ran.")

    tool, observer = behind_door(never)

    result = await tool.call("c1", arguments)

    assert result.is_error
    assert told in result.text
    assert len(observer.heard) == 2


async def test_long_values_are_not_told_back() -> None:
    tool, _ = behind_door(sunny)

    result = await tool.call("c1", {"city": "x" * 100_000})

    assert len(result.text) < 1000


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ToolFailed("Ask for a city that exists."), "Ask for a city that exists."),
        (KeyError("x"), "'weather' failed: KeyError: 'x'"),
        (TimeoutError("the city is far"), "'weather' failed: TimeoutError: the city is far"),
    ],
)
async def test_what_a_tool_raises_goes_to_the_model_without_a_trace(error: Exception, told: str) -> None:
    async def fail(_: Mapping[str, Any], __: Call) -> str:
        raise error

    tool, observer = behind_door(fail)

    result = await tool.call("c1", {"city": "Graz"})

    assert result == ToolResult(told, is_error=True)
    assert observer.heard[-1] == ToolCallCompleted("c1", "weather", told, is_error=True)


async def test_a_slow_tool_is_stopped() -> None:
    async def slow(_: Mapping[str, Any], __: Call) -> str:
        await asyncio.sleep(60)
        return ""

    tool, _ = behind_door(slow, timeout_seconds=0.05)

    result = await tool.call("c1", {"city": "Graz"})

    assert result == ToolResult("'weather' was stopped after 0.05 s.", is_error=True)


async def test_a_cancel_is_passed_on() -> None:
    async def slow(_: Mapping[str, Any], __: Call) -> str:
        await asyncio.sleep(60)
        return ""

    tool, observer = behind_door(slow)
    call = asyncio.ensure_future(tool.call("c1", {"city": "Graz"}))
    await asyncio.sleep(0.01)
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call

    assert len(observer.heard) == 1


async def test_a_call_that_cannot_be_claimed_ends_the_turn_and_does_not_run() -> None:
    ran: list[str] = []

    async def run(_: Mapping[str, Any], __: Call) -> str:
        ran.append("ran")
        return ""

    memory = Remembering(refusal=AttemptFenced("A newer attempt has taken over."))
    (tool,) = tools_of([ToolSpec("weather", "", SCHEMA, run)], memory)

    with pytest.raises(AttemptFenced):
        await tool.call("c1", {"city": "Graz"})

    assert ran == []


async def test_a_long_result_is_cut_and_says_so() -> None:
    async def long(_: Mapping[str, Any], __: Call) -> str:
        return "x" * 1000

    tool, _ = behind_door(long, output_limit=100)

    result = await tool.call("c1", {"city": "Graz"})

    assert result.text == "x" * 100 + "\n[cut: 900 of 1000 characters are not shown]"


async def test_a_result_is_text_that_every_database_takes() -> None:
    async def odd(_: Mapping[str, Any], __: Call) -> str:
        return "a\x00b\ud800c"

    tool, _ = behind_door(odd)

    assert (await tool.call("c1", {"city": "Graz"})).text == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"


@pytest.mark.parametrize(
    "parameters",
    [
        {"$ref": "http://169.254.169.254/latest"},
        {"$ref": "file:///etc/passwd"},
        {"type": "sentence"},
        {"properties": {"a": {"pattern": "("}}},
    ],
)
def test_a_schema_that_cannot_be_trusted_is_refused(parameters: Mapping[str, Any]) -> None:
    with pytest.raises(ToolsetInvalid, match="JSON schema of tool 'weather'"):
        behind_door(sunny, parameters=parameters)


async def test_an_evil_pattern_takes_no_time() -> None:
    tool, _ = behind_door(sunny, parameters={"properties": {"city": {"pattern": "^(a+)+$"}}})

    began = time.perf_counter()
    result = await tool.call("c1", {"city": "a" * 50_000 + "!"})

    assert result.is_error
    assert time.perf_counter() - began < 0.5


async def test_arguments_that_cannot_be_checked_go_back_to_the_model() -> None:
    tool, _ = behind_door(sunny, parameters={"properties": {"city": {"pattern": "^a+$"}}})

    result = await tool.call("c1", {"city": "\ud800"})

    assert result.is_error
    assert result.text.endswith("A text contains half of a surrogate pair.")
