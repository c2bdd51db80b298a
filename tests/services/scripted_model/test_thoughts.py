"""Thoughts on every wire: told as the wire tells them, and asked back as strict providers ask them back."""

from typing import Any

import pytest
from anthropic import AsyncAnthropic
from anthropic.types import RedactedThinkingBlock, ThinkingBlock
from openai import AsyncOpenAI

from services.scripted_model.thoughts import is_seal, seal, signature
from tests.services.scripted_model.conftest import Provider

SCRIPT = "[[insist;; think I have to look.;; seal Nobody may know.;; tool look {};; think So be it.;; say Seen.]]"
OPEN = {"type": "thinking", "thinking": "I have to look.", "signature": signature("I have to look.")}
SEALED = {"type": "redacted_thinking", "data": seal("Nobody may know.")}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "seen"}
GOOGLE = {"google": {"thought_signature": seal("Nobody may know.")}}


def anthropic_round(*thoughts: dict[str, Any]) -> list[Any]:
    used: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    return [{"role": "assistant", "content": [*thoughts, used]}, {"role": "user", "content": [RESULT]}]


def chat_round(reasoning: str | None, **extra: Any) -> list[Any]:
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}, **extra}
    said: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [call]}
    if reasoning is not None:
        said["reasoning_content"] = reasoning
    return [said, {"role": "tool", "tool_call_id": "call_1", "content": "seen"}]


async def post(provider: Provider, path: str, messages: list[Any], **more: Any) -> Any:
    prompt = {"role": "user", "content": SCRIPT}
    body = {"model": "m", "max_tokens": 10, "messages": [prompt, *messages], **more}
    return (await provider.http.post(path, json=body)).json()


@pytest.mark.parametrize("streaming", [True, False])
async def test_thinking_blocks_are_signed_and_sealed_ones_are_redacted(
    anthropic: AsyncAnthropic, streaming: bool
) -> None:
    asked: list[Any] = [{"role": "user", "content": SCRIPT}]
    if streaming:
        async with anthropic.messages.stream(model="m", max_tokens=10, messages=asked) as stream:
            answer: Any = await stream.get_final_message()
    else:
        answer = await anthropic.messages.create(model="m", max_tokens=10, messages=asked)

    thinking, redacted, call = answer.content
    assert isinstance(thinking, ThinkingBlock)
    assert (thinking.thinking, thinking.signature) == (OPEN["thinking"], OPEN["signature"])
    assert isinstance(redacted, RedactedThinkingBlock)
    assert is_seal(redacted.data)
    assert (call.type, answer.stop_reason) == ("tool_use", "tool_use")


@pytest.mark.parametrize("streaming", [True, False])
async def test_reasoning_content_and_the_signature_of_a_call(openai: AsyncOpenAI, streaming: bool) -> None:
    asked: list[Any] = [{"role": "user", "content": SCRIPT}]
    if streaming:
        async with openai.chat.completions.stream(model="m", messages=asked) as stream:
            answer: Any = await stream.get_final_completion()
    else:
        answer = await openai.chat.completions.create(model="m", messages=asked)

    message = answer.choices[0].message

    assert message.reasoning_content == "I have to look."
    assert is_seal(message.tool_calls[0].extra_content["google"]["thought_signature"])


@pytest.mark.parametrize("streaming", [True, False])
async def test_reasoning_items_have_a_summary_unless_they_are_sealed(openai: AsyncOpenAI, streaming: bool) -> None:
    if streaming:
        async with openai.responses.stream(model="m", input=SCRIPT) as stream:
            output: list[Any] = list((await stream.get_final_response()).output)
    else:
        output = list((await openai.responses.create(model="m", input=SCRIPT)).output)

    assert [item.type for item in output] == ["reasoning", "reasoning", "function_call"]
    assert [[part.text for part in item.summary] for item in output[:2]] == [["I have to look."], []]
    assert all(is_seal(item.encrypted_content) for item in output[:2])


@pytest.mark.parametrize(
    ("thoughts", "words"),
    [
        ((OPEN, SEALED), ""),
        ((), "but found `tool_use`"),
        ((OPEN,), "Expected `thinking` or `redacted_thinking`"),
        (({**OPEN, "signature": "another"}, SEALED), "Expected `thinking`"),
        (({**OPEN, "thinking": "I need not look."}, SEALED), "Expected `thinking`"),
        (({"type": "text", "text": "x"}, OPEN, SEALED), "Expected `thinking`"),
    ],
)
async def test_a_message_that_called_tools_begins_with_its_thoughts(
    provider: Provider, thoughts: tuple[dict[str, Any], ...], words: str
) -> None:
    answer = await post(provider, "/v1/messages", anthropic_round(*thoughts))

    if words:
        assert answer["error"]["type"] == "invalid_request_error"
        assert words in answer["error"]["message"]
    else:
        assert [block["type"] for block in answer["content"]] == ["thinking", "text"]


@pytest.mark.parametrize(
    ("round_", "words"),
    [
        (chat_round("I have to look.", extra_content=GOOGLE), ""),
        (chat_round("in other words", extra_content=GOOGLE), ""),
        (chat_round(None, extra_content=GOOGLE), "`reasoning_content` in the thinking mode must be passed back"),
        (chat_round("", extra_content=GOOGLE), "`reasoning_content` in the thinking mode must be passed back"),
        (chat_round("I have to look."), "missing a thought_signature"),
    ],
)
async def test_reasoning_content_and_signatures_have_to_come_back(
    provider: Provider, round_: list[Any], words: str
) -> None:
    answer = await post(provider, "/v1/chat/completions", round_)

    if words:
        assert words in answer["error"]["message"]
    else:
        assert answer["choices"][0]["message"]["content"] == "Seen."


@pytest.mark.parametrize("kept", [True, False])
async def test_reasoning_items_have_to_come_back(provider: Provider, kept: bool) -> None:
    prompt = {"role": "user", "content": SCRIPT}
    first = (await provider.http.post("/v1/responses", json={"model": "m", "input": [prompt]})).json()
    called = [item for item in first["output"] if kept or item["type"] != "reasoning"]
    result = {"type": "function_call_output", "call_id": called[-1]["call_id"], "output": "seen"}

    again = await provider.http.post("/v1/responses", json={"model": "m", "input": [prompt, *called, result]})

    assert again.is_success is kept
    assert kept or "without its required 'reasoning' item" in again.json()["error"]["message"]


async def test_thoughts_of_earlier_prompts_may_be_forgotten(provider: Provider) -> None:
    later = {"role": "user", "content": "[[insist;; think Again.;; say Goodbye.]]"}
    answer = await post(provider, "/v1/messages", [*anthropic_round(), {"role": "assistant", "content": "x"}, later])

    assert answer["content"][-1]["text"] == "Goodbye."


async def test_thoughts_are_counted_as_reasoning(provider: Provider) -> None:
    answer = await post(provider, "/v1/chat/completions", [])

    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 7
    assert answer["usage"]["completion_tokens"] == 8
