from collections.abc import Sequence
from typing import Any

import anthropic as sdk
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import Message, TextBlock, ToolUseBlock
from httpx2 import RemoteProtocolError

from tests.services.scripted_model.conftest import Provider


async def ask(client: AsyncAnthropic, prompt: str, *more: dict[str, Any]) -> Message:
    messages: list[Any] = [{"role": "user", "content": prompt}, *more]
    return await client.messages.create(model="any-model", max_tokens=100, messages=messages)


def said(answer: Message) -> str:
    return "".join(block.text for block in answer.content if isinstance(block, TextBlock))


def tool_uses(answer: Message) -> list[ToolUseBlock]:
    return [block for block in answer.content if isinstance(block, ToolUseBlock)]


def answered(*call_ids: str, text: str = "") -> list[dict[str, Any]]:
    """One round: the assistant's tool calls, and a user message with their results."""
    calls: list[dict[str, Any]] = [
        {"type": "tool_use", "id": call_id, "name": "look", "input": {}} for call_id in call_ids
    ]
    results = [
        {"type": "tool_result", "tool_use_id": call_id, "content": f"result of {call_id}"} for call_id in call_ids
    ]
    more = [{"type": "text", "text": text}] if text else []
    return [{"role": "assistant", "content": calls}, {"role": "user", "content": [*results, *more]}]


async def events(client: AsyncAnthropic, prompt: str) -> list[Any]:
    stream = await client.messages.create(
        model="any-model", max_tokens=100, messages=[{"role": "user", "content": prompt}], stream=True
    )
    return [event async for event in stream]


async def test_it_says_what_the_prompt_tells_it(anthropic: AsyncAnthropic) -> None:
    answer = await ask(anthropic, "Be so kind: [[say Hello, dear world.]]")

    assert said(answer) == "Hello, dear world."
    assert (answer.stop_reason, answer.model) == ("end_turn", "any-model")
    assert answer.usage.output_tokens == 3


async def test_a_stream_has_the_events_of_the_wire_in_order(anthropic: AsyncAnthropic) -> None:
    heard = await events(anthropic, "[[say Two words;; tool look {}]]")

    assert _collapsed([event.type for event in heard]) == [
        "message_start",
        *("content_block_start", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_stop"),
        "message_delta",
        "message_stop",
    ]


async def test_the_sdk_puts_a_stream_together_again(anthropic: AsyncAnthropic) -> None:
    async with anthropic.messages.stream(
        model="m",
        max_tokens=100,
        messages=[{"role": "user", "content": '[[say Both:;; tool a {"x": [[1]]} && b {"y": "z"}]]'}],
    ) as stream:
        answer = await stream.get_final_message()

    assert said(answer) == "Both:"
    assert [(use.name, use.input) for use in tool_uses(answer)] == [("a", {"x": [[1]]}), ("b", {"y": "z"})]
    assert answer.stop_reason == "tool_use"


async def test_the_script_stops_at_a_tool_and_goes_on_after_its_result(anthropic: AsyncAnthropic) -> None:
    prompt = "[[say Let me look.;; tool look {};; result]]"

    first = await ask(anthropic, prompt)
    second = await ask(anthropic, prompt, *answered("t1", "t2"))

    assert [use.name for use in tool_uses(first)] == ["look"]
    assert tool_uses(first)[0].id.startswith("toolu_")
    assert said(second) == "result of t1\nresult of t2"


@pytest.mark.parametrize(
    ("tools", "called"),
    [
        (["mcp__a__look"], "mcp__a__look"),
        (["mcp__a__look", "look"], "look"),
        (["mcp__a__look", "mcp__b__look"], "look"),
        (["outlook"], "look"),
    ],
)
async def test_a_tool_is_called_by_the_name_that_the_caller_has_for_it(
    anthropic: AsyncAnthropic, tools: list[str], called: str
) -> None:
    offered: list[Any] = [{"name": name, "input_schema": {"type": "object"}} for name in tools]

    answer = await anthropic.messages.create(
        model="m", max_tokens=9, tools=offered, messages=[{"role": "user", "content": "[[tool look]]"}]
    )

    assert [use.name for use in tool_uses(answer)] == [called]


async def test_a_reminder_beside_a_result_is_no_new_prompt(anthropic: AsyncAnthropic) -> None:
    answer = await ask(anthropic, "[[tool look;; say Analyzed.]]", *answered("t1", text="Remember your list."))

    assert said(answer) == "Analyzed."


async def test_broken_arguments_reach_the_caller_as_they_are(anthropic: AsyncAnthropic) -> None:
    answer = await ask(anthropic, "[[tool look {broken]]")

    assert str(tool_uses(answer)[0].input) == "{broken"


async def test_history_tells_system_prompt_and_tool_calls(anthropic: AsyncAnthropic) -> None:
    messages: list[Any] = [{"role": "user", "content": "[[tool look;; history]]"}, *answered("t1")]

    answer = await anthropic.messages.create(model="m", max_tokens=9, system="Be brief.", messages=messages)

    assert said(answer).splitlines() == [
        "system: Be brief.",
        "user: [[tool look;; history]]",
        "assistant: -> look {}",
        "tool: result of t1",
    ]


async def test_cached_tokens_are_counted_apart_from_the_input(anthropic: AsyncAnthropic) -> None:
    answer = await ask(anthropic, "[[say ok;; usage 100 50 cached 40 reasoning 30]]")

    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (60, 40, 50)
    assert usage.output_tokens_details is not None
    assert usage.output_tokens_details.thinking_tokens == 30


@pytest.mark.parametrize(
    ("directive", "stop_reason"),
    [("finish length", "max_tokens"), ("finish content_filter", "refusal"), ("refuse No.", "refusal")],
)
async def test_finish_reasons_have_the_wire_s_names(
    anthropic: AsyncAnthropic, directive: str, stop_reason: str
) -> None:
    answer = await ask(anthropic, f"[[{directive}]]")

    assert answer.stop_reason == stop_reason


async def test_an_empty_answer_has_no_content(anthropic: AsyncAnthropic) -> None:
    answer = await ask(anthropic, "[[empty]]")

    assert answer.content == []
    assert answer.stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (529, "overloaded_error"),
    ],
)
async def test_errors_have_the_provider_s_shape(anthropic: AsyncAnthropic, status: int, kind: str) -> None:
    with pytest.raises(sdk.APIStatusError) as raised:
        await ask(anthropic, f"[[error {status} retry-after 3]]")

    assert (raised.value.status_code, _error_type(raised.value)) == (status, kind)
    assert raised.value.response.headers["retry-after"] == "3"


async def test_a_context_overflow_has_the_provider_s_words(anthropic: AsyncAnthropic) -> None:
    with pytest.raises(sdk.BadRequestError, match="prompt is too long") as raised:
        await ask(anthropic, "[[context-too-long]]")

    assert _error_type(raised.value) == "invalid_request_error"


async def test_an_error_inside_a_stream_is_an_error_event(anthropic: AsyncAnthropic) -> None:
    with pytest.raises(sdk.APIStatusError, match="inside the stream") as raised:
        await events(anthropic, "[[say so far;; stream-error]]")

    assert _error_type(raised.value) == "api_error"


async def test_a_drop_in_mid_stream_is_no_clean_end(anthropic: AsyncAnthropic) -> None:
    with pytest.raises(RemoteProtocolError):
        await events(anthropic, "[[say midway;; drop]]")


async def test_tokens_are_counted_without_a_model_call(anthropic: AsyncAnthropic, provider: Provider) -> None:
    counted = await anthropic.messages.count_tokens(
        model="m", messages=[{"role": "user", "content": "[[say counting only]]"}]
    )

    assert counted.input_tokens == len("[[say counting only]]") // 4
    assert await provider.requests(contains="counting only") == []


async def test_a_request_that_is_none_is_refused(provider: Provider) -> None:
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        answer = await provider.http.post(path, content=b'{"model": "m"}')

        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_the_scripted_model_is_listed(anthropic: AsyncAnthropic) -> None:
    models = await anthropic.models.list()

    assert [model.id for model in models.data] == ["scripted"]


def _error_type(error: sdk.APIStatusError) -> str:
    body: Any = error.body
    return body["error"]["type"]


def _collapsed(kinds: Sequence[str]) -> list[str]:
    return [kind for at, kind in enumerate(kinds) if at == 0 or kinds[at - 1] != kind]
