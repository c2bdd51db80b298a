"""What was answered once is answered again from the journal."""

import pytest

from runtimes.types import Usage
from services.control_plane_client.models import Step, StepKind, StepStatus
from tests.services.model_gateway.gateways import Turns

TOOLS = {
    "openai": [{"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}],
    "anthropic": [{"name": "lookup", "input_schema": {"type": "object"}}],
}


@pytest.mark.parametrize(
    "script",
    [
        "[[say Good morning to you all.;; usage 40 9 cached 8 reasoning 2]]",
        '[[say Look.;; tool lookup {"q": 1} && lookup {"q": 2}]]',
    ],
)
async def test_a_recorded_call_is_answered_alike_and_not_made_again(turns: Turns, stream: bool, script: str) -> None:
    tools = TOOLS[turns.wire]

    async with turns.open() as first:
        original = await first.ask(script, stream=stream, tools=tools)
    async with turns.open(recorded=first.steps.steps, marker=first.marker) as second:
        replayed = await second.ask(script, stream=stream, tools=tools)

    assert replayed.message == original.message
    assert len(await turns.calls(first)) == 1
    assert second.steps.writes == []
    assert second.session.failure is None


async def test_usage_and_timings_are_kept_with_the_answer(turns: Turns, stream: bool) -> None:
    async with turns.open() as turn:
        await turn.ask("[[say one two three;; usage 40 9 cached 8 reasoning 2]]", stream=stream)

    step = turn.steps.done
    assert step.usage == Usage(
        input_tokens=40, output_tokens=9, cached_input_tokens=8, reasoning_tokens=2, model_calls=1, cost_usd=None
    )
    assert set(step.timings) == {"total", "provider"} | ({"first_token"} if stream else set())
    assert step.name == "scripted-1"
    assert turn.session.model == "scripted-1"


async def test_text_is_kept_in_one_piece(turns: Turns) -> None:
    async with turns.open() as turn:
        await turn.ask("[[emit 400]]", stream=True)

    assert len(turn.steps.done.response["events"]) < 10


async def test_a_call_that_was_only_begun_is_made_again(turns: Turns, stream: bool) -> None:
    async with turns.open() as first:
        await first.ask("[[say hi]]", stream=stream)
    claimed = first.steps.done.model_copy(update={"status": StepStatus.CLAIMED, "response": None})

    async with turns.open(recorded=[claimed], marker=first.marker) as second:
        await second.ask("[[say hi]]", stream=stream)
    async with turns.open(recorded=second.steps.steps, marker=first.marker) as third:
        await third.ask("[[say hi]]", stream=stream)

    assert len(await turns.calls(first)) == 2
    assert [step.ordinal for step in second.steps.steps] == [1, 2]
    assert second.steps.events == []
    assert third.steps.writes == []


async def test_time_in_a_prompt_does_not_matter(turns: Turns) -> None:
    async with turns.open() as first:
        original = await first.ask("It is 2026-11-21T08:15:01. [[say noted]]")
    async with turns.open(recorded=first.steps.steps, marker=first.marker) as second:
        replayed = await second.ask("It is 2026-11-21T09:31:44. [[say noted]]")

    assert replayed.message == original.message
    assert len(await turns.calls(first)) == 1


async def test_another_prompt_is_another_call_and_is_told(turns: Turns) -> None:
    async with turns.open() as first:
        await first.ask("[[say this]]")
    async with turns.open(recorded=first.steps.steps, marker=first.marker) as second:
        answer = await second.ask("[[say that]]")

    assert answer.text == "that"
    assert [event.type for event in second.steps.events] == ["journal.diverged"]


async def test_a_call_that_goes_on_from_what_came_of_an_earlier_one_is_no_other_call(turns: Turns) -> None:
    async with turns.open() as first:
        await first.ask("[[say this]]")
    tool = Step(ordinal=2, kind=StepKind.TOOL_CALL, status=StepStatus.DONE, attempt=1, key="toolu_7f3a", name="lookup")
    async with turns.open(recorded=[*first.steps.steps, tool], marker=first.marker) as second:
        await second.ask("After toolu_7f3a: [[say that]]")

    assert second.steps.events == []


async def test_whom_a_call_is_for_is_no_part_of_it(turns: Turns) -> None:
    async with turns.open() as first:
        await first.ask("[[say hi]]", metadata={"user_id": "1"} if turns.wire == "anthropic" else {"session": "1"})
    async with turns.open(recorded=first.steps.steps, marker=first.marker) as second:
        await second.ask("[[say hi]]", metadata={"user_id": "2"} if turns.wire == "anthropic" else {"session": "2"})

    assert len(await turns.calls(first)) == 1
