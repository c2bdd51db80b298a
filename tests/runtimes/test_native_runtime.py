"""What the native runtime alone does on the wire."""

from dataclasses import replace
from typing import Any

import pytest

from runtimes.factory import RuntimeFactory
from runtimes.types import ToolResult, Wire
from tests.runtimes.model_server import ModelServer
from tests.runtimes.turns import Recorder, Turns, tool

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


async def first_body(turns: Turns, **context: Any) -> dict[str, Any]:
    ran = await turns.run("[[say ok]]", **context)
    return (await turns.calls(ran.marker))[0]["body"]


@pytest.fixture
def named(factory: RuntimeFactory, model: ModelServer) -> Turns:
    """A model of OpenAI's own, by its name."""
    endpoint = replace(model.endpoint(Wire.OPENAI), provider="openai", model="gpt-4o")
    return Turns(factory, "native", model, endpoint)


@pytest.fixture
def claude(factory: RuntimeFactory, model: ModelServer) -> Turns:
    endpoint = replace(model.endpoint(Wire.ANTHROPIC), provider="anthropic", model="claude-sonnet-4-6")
    return Turns(factory, "native", model, endpoint)


async def test_an_output_schema_is_given_to_openai(named: Turns) -> None:
    body = await first_body(named, output_schema=SCHEMA)

    assert body["response_format"]["type"] == "json_schema"
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA


async def test_an_output_schema_is_given_to_anthropic(claude: Turns) -> None:
    body = await first_body(claude, output_schema=SCHEMA)

    assert body["output_config"]["format"]["schema"] == SCHEMA | {"additionalProperties": False}


async def test_other_providers_are_not_troubled_with_an_output_schema(named: Turns) -> None:
    other = replace(named, endpoint=replace(named.endpoint, provider="local"))

    assert "response_format" not in await first_body(other, output_schema=SCHEMA)


async def test_no_schema_is_given_that_the_wire_does_not_take(named: Turns) -> None:
    assert "response_format" not in await first_body(named, output_schema={"type": "array"})


@pytest.mark.parametrize("name", ["gpt-4o", "gpt-5.4", "o1-mini", "scripted-1"])
async def test_the_system_prompt_has_the_role_system_whatever_the_model(named: Turns, name: str) -> None:
    turns = replace(named, endpoint=replace(named.endpoint, model=name))

    body = await first_body(turns, system_prompt="Be brief.")

    assert body["messages"][0] == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(("provider", "field"), [("openai", "max_completion_tokens"), ("local", "max_tokens")])
async def test_the_limit_of_tokens_has_the_providers_name(named: Turns, provider: str, field: str) -> None:
    turns = replace(named, endpoint=replace(named.endpoint, provider=provider))

    assert (await first_body(turns, configuration={"max_tokens": 9}))[field] == 9


async def test_anthropic_is_told_which_result_is_an_error(claude: Turns) -> None:
    failing = tool(Recorder(ToolResult("no such city", is_error=True)))

    ran = await claude.run('[[tool lookup {"q": 1};; result]]', tools=[failing])

    result = (await claude.calls(ran.marker))[1]["body"]["messages"][-1]["content"][0]
    assert (result["is_error"], result["content"][0]["text"]) == (True, "no such city")
