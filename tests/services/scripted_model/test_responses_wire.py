from typing import Any

import openai as sdk
import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response, ResponseFunctionToolCall, ResponseStreamEvent

from tests.services.scripted_model.conftest import Provider


async def ask(client: AsyncOpenAI, prompt: str, *more: Any) -> Response:
    items: list[Any] = [{"role": "user", "content": prompt}, *more]
    return await client.responses.create(model="any-model", input=items)


async def events(client: AsyncOpenAI, prompt: str) -> list[ResponseStreamEvent]:
    return [event async for event in await client.responses.create(model="m", input=prompt, stream=True)]


def calls(answer: Response) -> list[ResponseFunctionToolCall]:
    return [item for item in answer.output if item.type == "function_call"]


def answered(*call_ids: str) -> list[dict[str, Any]]:
    """One round: the model's calls, and their outputs."""
    asked = [{"type": "function_call", "call_id": each, "name": "look", "arguments": "{}"} for each in call_ids]
    told = [{"type": "function_call_output", "call_id": each, "output": f"result of {each}"} for each in call_ids]
    return [*asked, *told]


async def test_it_says_what_the_prompt_tells_it(openai: AsyncOpenAI) -> None:
    answer = await ask(openai, "[[say Hello, dear world.;; usage 100 50 cached 40 reasoning 30]]")

    assert (answer.output_text, answer.status, answer.model) == ("Hello, dear world.", "completed", "any-model")
    usage = answer.usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (100, 50, 150)
    assert usage.input_tokens_details.cached_tokens == 40
    assert usage.output_tokens_details.reasoning_tokens == 30


async def test_the_sdk_puts_a_stream_together_again(openai: AsyncOpenAI) -> None:
    prompt = '[[say All of it:;; tool a {"x": 1} && b]]'

    async with openai.responses.stream(model="m", input=prompt) as stream:
        answer = await stream.get_final_response()

    assert answer.output_text == "All of it:"
    assert [(call.name, call.arguments) for call in calls(answer)] == [("a", '{"x": 1}'), ("b", "{}")]


async def test_the_events_of_a_stream_are_numbered_and_end_with_the_response(openai: AsyncOpenAI) -> None:
    heard = await events(openai, "[[say Two words;; tool look]]")

    assert [event.sequence_number for event in heard] == list(range(len(heard)))
    assert heard[0].type == "response.created"
    assert heard[-1].type == "response.completed"
    assert [item.type for item in heard[-1].response.output] == ["message", "function_call"]


async def test_the_script_stops_at_a_tool_and_goes_on_after_its_output(openai: AsyncOpenAI) -> None:
    prompt = "[[say Let me look.;; tool look && look;; result;; tool look;; history]]"

    first = await ask(openai, prompt)
    second = await ask(openai, prompt, *answered("c1", "c2"))
    both: list[Any] = [{"role": "user", "content": prompt}, *answered("c1"), *answered("c3")]
    third = await openai.responses.create(model="m", instructions="Be brief.", input=both)

    assert (first.output_text, len(calls(first))) == ("Let me look.", 2)
    assert (second.output_text, len(calls(second))) == ("result of c1\nresult of c2", 1)
    assert third.output_text.splitlines()[0] == "system: Be brief."
    assert third.output_text.splitlines()[2:] == [
        "assistant: -> look {}",
        "tool: result of c1",
        "assistant: -> look {}",
        "tool: result of c3",
    ]


@pytest.mark.parametrize(
    ("directive", "status", "reason"),
    [
        ("finish stop", "completed", None),
        ("finish length", "incomplete", "max_output_tokens"),
        ("finish content_filter", "incomplete", "content_filter"),
    ],
)
async def test_an_answer_that_was_cut_off_is_incomplete(
    openai: AsyncOpenAI, directive: str, status: str, reason: str | None
) -> None:
    answer = await ask(openai, f"[[say Once upon;; {directive}]]")
    streamed = (await events(openai, f"[[say Once upon;; {directive}]]"))[-1]

    assert answer.status == status
    assert (answer.incomplete_details and answer.incomplete_details.reason) == reason
    assert streamed.type == f"response.{status}"


async def test_a_refusal_is_a_part_of_its_own(openai: AsyncOpenAI) -> None:
    answer = await ask(openai, "[[refuse I would rather not.]]")
    heard = await events(openai, "[[refuse I would rather not.]]")

    assert answer.output_text == ""
    assert [item.type == "message" and item.content[0].type for item in answer.output] == ["refusal"]
    assert "".join(event.delta for event in heard if event.type == "response.refusal.delta") == "I would rather not."


async def test_an_empty_answer_has_no_output(openai: AsyncOpenAI) -> None:
    answer = await ask(openai, "[[empty]]")

    assert (answer.output, answer.status) == ([], "completed")


async def test_errors_have_the_provider_s_shape(openai: AsyncOpenAI) -> None:
    with pytest.raises(sdk.RateLimitError) as raised:
        await ask(openai, "[[error 429 retry-after 3]]")

    assert raised.value.code == "rate_limit_exceeded"
    assert raised.value.response.headers["retry-after"] == "3"


async def test_an_error_inside_a_stream_fails_the_response(openai: AsyncOpenAI) -> None:
    heard = await events(openai, "[[say so far;; stream-error]]")

    assert [event.type for event in heard[-2:]] == ["error", "response.failed"]


async def test_a_call_is_logged_under_its_path(openai: AsyncOpenAI, provider: Provider) -> None:
    await ask(openai, "[[say logged response]]")

    [logged] = await provider.requests(contains="logged response", kind="answer")
    assert (logged["wire"], logged["path"], logged["outcome"]) == ("openai", "/v1/responses", "completed")


@pytest.mark.parametrize(
    "body", [{"input": "x"}, {"model": "m", "input": []}, {"model": "m", "input": "x", "previous_response_id": "r"}]
)
async def test_a_request_that_is_none_is_refused(provider: Provider, body: dict[str, Any]) -> None:
    answer = await provider.http.post("/v1/responses", json=body)

    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
