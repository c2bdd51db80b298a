"""What the runtime of the OpenAI Agents SDK alone does: handoffs, and which agent has which tools."""

from collections.abc import Mapping
from typing import Any

import pytest

from runtimes.errors import ConfigurationInvalid
from runtimes.factory import RuntimeFactory
from runtimes.types import ToolCallCompleted, ToolCallStarted, ToolResult, Wire
from tests.runtimes.model_server import ModelServer
from tests.runtimes.turns import Ran, Recorder, Turns, tool

DESK: Mapping[str, Any] = {
    "name": "desk",
    "handoffs": ["billing"],
    "agents": {
        "billing": {
            "instructions": "You know invoices.",
            "handoff_description": "Questions about invoices",
            "handoffs": ["desk"],
            "tools": ["lookup"],
        }
    },
}
TEAM = {
    **DESK,
    "handoffs": ["billing", "shipping"],
    "agents": {**DESK["agents"], "shipping": {"instructions": "You know parcels."}},
}
HAND_OVER = "[[say One moment.;; tool transfer_to_billing {};; %s]]"


@pytest.fixture
def sdk(factory: RuntimeFactory, model: ModelServer) -> Turns:
    return Turns(factory, "openai_agents", model, model.endpoint(Wire.OPENAI))


async def run(turns: Turns, prompt: str, settings: Mapping[str, Any] = DESK, **changes: Any) -> Ran:
    tools = [tool(Recorder(ToolResult("42"))), tool(Recorder(), name="other")]
    configuration = {"runtime_config": dict(settings)}
    return await turns.run(prompt, configuration=configuration, system_prompt="You greet.", tools=tools, **changes)


async def test_a_handoff_gives_the_conversation_to_another_agent(sdk: Turns) -> None:
    ran = await run(sdk, HAND_OVER % 'tool lookup {"q": 1};; result')

    first, *later = [call["body"] for call in await sdk.calls(ran.marker)]
    assert ran.finished.response == "42"
    assert first["messages"][0] == {"role": "system", "content": "You greet."}
    assert {body["messages"][0]["content"] for body in later} == {"You know invoices."}
    assert names(first) == ["lookup", "other", "transfer_to_billing"]
    assert {tuple(names(body)) for body in later} == {("lookup", "transfer_to_desk")}


async def test_a_handoff_is_told_like_a_tool_call(sdk: Turns) -> None:
    ran = await run(sdk, HAND_OVER % "say Done.")

    started, completed = [each for each in ran.events if isinstance(each, ToolCallStarted | ToolCallCompleted)]
    assert isinstance(started, ToolCallStarted)
    assert isinstance(completed, ToolCallCompleted)
    assert (started.tool_call_id, started.name) == (completed.tool_call_id, completed.name)
    assert started.name == "transfer_to_billing"
    assert ran.finished.response == "Done."


async def test_a_handoff_has_one_name_whatever_its_agent_is_called(sdk: Turns) -> None:
    team = {"handoffs": ["Night Desk"], "agents": {"Night Desk": {"instructions": "You are awake."}}}

    ran = await run(sdk, "[[tool transfer_to_night_desk {};; say Good night.]]", team)

    assert told(ran) == [(ToolCallStarted, "transfer_to_night_desk"), (ToolCallCompleted, "transfer_to_night_desk")]
    assert ran.finished.response == "Good night."


async def test_of_two_handoffs_at_once_the_second_is_answered_and_not_done(sdk: Turns) -> None:
    prompt = "[[tool transfer_to_billing {} && transfer_to_shipping {};; say Let me see.]]"

    ran = await run(sdk, prompt, TEAM)

    calls = [each for each in ran.events if isinstance(each, ToolCallCompleted)]
    systems = [call["body"]["messages"][0]["content"] for call in await sdk.calls(ran.marker)]
    assert sorted((each.name, each.is_error) for each in calls) == [
        ("transfer_to_billing", False),
        ("transfer_to_shipping", True),
    ]
    assert ids(ran, ToolCallStarted) == ids(ran, ToolCallCompleted)
    assert systems == ["You greet.", "You know invoices."]
    assert ran.finished.response == "Let me see."


async def test_a_tool_beside_a_handoff_is_told_by_nobody_else(sdk: Turns) -> None:
    ran = await run(sdk, '[[tool lookup {"q": 1} && transfer_to_billing {};; say Let me see.]]')

    assert told(ran) == [(ToolCallStarted, "transfer_to_billing"), (ToolCallCompleted, "transfer_to_billing")]


async def test_the_first_agent_can_get_the_conversation_back(sdk: Turns) -> None:
    ran = await run(sdk, HAND_OVER % "tool transfer_to_desk {};; say Back again.")

    systems = [call["body"]["messages"][0]["content"] for call in await sdk.calls(ran.marker)]
    assert systems == ["You greet.", "You know invoices.", "You greet."]
    assert ran.finished.response == "Back again."


async def test_a_tool_that_an_agent_does_not_have_is_none_for_it(sdk: Turns) -> None:
    ran = await run(sdk, HAND_OVER % 'tool other {"q": 1};; result')

    assert ran.finished.response.startswith("There is no tool 'other'.")


async def test_handoffs_without_an_end_are_stopped(sdk: Turns) -> None:
    script = f"[[{';; '.join(['tool transfer_to_billing {};; tool transfer_to_desk {}'] * 20)}]]"

    ran = await run(sdk, script, {**DESK, "max_turns": 5})

    assert ran.finished.finish_reason == "tool_limit"
    assert len(await sdk.calls(ran.marker)) == 5


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"handoffs": ["biling"], "agents": DESK["agents"], "name": "desk"}, "Did you mean 'billing'?"),
        ({"agents": {"billing": {}}}, "runtime_config.agents.billing.instructions: Field required."),
        ({"agents": {"billing": {"instructions": "", "tools": ["lokup"]}}}, "Did you mean 'lookup'?"),
        ({"agents": {"billing": {"instructions": "", "tone": "dry"}}}, "runtime_config.agents.billing.tone"),
        (
            {"agents": {"main": {"instructions": "I am another."}}},
            "runtime_config.agents.main: the agent that begins is called 'main' too.",
        ),
        ({**DESK, "name": "billing"}, "runtime_config.agents.billing: the agent that begins is called 'billing' too."),
        (
            {**DESK, "handoffs": ["billing", "billing"]},
            "Agent 'desk' has 'transfer_to_billing' twice: the handoff to 'billing' and the handoff to 'billing'.",
        ),
        (
            {"handoffs": ["a b", "a-b"], "agents": {"a b": {"instructions": ""}, "a-b": {"instructions": ""}}},
            "Agent 'main' has 'transfer_to_a_b' twice: the handoff to 'a b' and the handoff to 'a-b'.",
        ),
    ],
)
async def test_a_team_that_cannot_be_is_refused(sdk: Turns, settings: Mapping[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationInvalid) as refused:
        await run(sdk, "[[say never]]", settings)

    assert told in refused.value.message


def names(body: Mapping[str, Any]) -> list[str]:
    return [each["function"]["name"] for each in body["tools"]]


def told(ran: Ran) -> list[tuple[type, str]]:
    """The calls that the adapter told, in order."""
    return [(type(each), each.name) for each in ran.events if isinstance(each, ToolCallStarted | ToolCallCompleted)]


def ids(ran: Ran, kind: type[ToolCallStarted | ToolCallCompleted]) -> list[str]:
    return sorted(each.tool_call_id for each in ran.events if isinstance(each, kind))
