import asyncio
from collections.abc import Sequence
from typing import Any

import openai as sdk
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageFunctionToolCall

from tests.services.scripted_model.conftest import Provider


async def ask(client: AsyncOpenAI, prompt: str, *more: dict[str, Any]) -> ChatCompletion:
    messages: list[Any] = [{"role": "user", "content": prompt}, *more]
    return await client.chat.completions.create(model="any-model", messages=messages)


async def stream(client: AsyncOpenAI, prompt: str) -> list[ChatCompletionChunk]:
    chunks = await client.chat.completions.create(
        model="any-model",
        messages=[{"role": "user", "content": prompt}],
        stream=True,
        stream_options={"include_usage": True},
    )
    return [chunk async for chunk in chunks]


def said(answer: ChatCompletion) -> str | None:
    return answer.choices[0].message.content


def pieces(chunks: Sequence[ChatCompletionChunk]) -> list[str]:
    return [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]


def function_calls(answer: ChatCompletion) -> list[ChatCompletionMessageFunctionToolCall]:
    calls = answer.choices[0].message.tool_calls or []
    return [call for call in calls if call.type == "function"]


def answered(call_ids: Sequence[str], name: str = "look") -> list[dict[str, Any]]:
    """One round: the assistant's tool calls and their results."""
    calls = [{"id": call_id, "type": "function", "function": {"name": name, "arguments": "{}"}} for call_id in call_ids]
    results = [{"role": "tool", "tool_call_id": call_id, "content": f"result of {call_id}"} for call_id in call_ids]
    return [{"role": "assistant", "content": None, "tool_calls": calls}, *results]


async def test_it_says_what_the_prompt_tells_it(openai: AsyncOpenAI) -> None:
    answer = await ask(openai, "Be so kind: [[say Hello, dear  world.]]")

    assert said(answer) == "Hello, dear  world."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "any-model"


async def test_a_stream_comes_word_by_word_and_ends_with_the_usage(openai: AsyncOpenAI) -> None:
    chunks = await stream(openai, "[[say Hello, dear world.]]")

    assert pieces(chunks) == ["Hello,", " dear", " world."]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


async def test_without_directions_it_says_plainly_what_it_is(openai: AsyncOpenAI) -> None:
    answer = await ask(openai, "What is the capital of France?")

    assert "no language model" in (said(answer) or "")
    assert "What is the capital of France?" in (said(answer) or "")


async def test_a_later_prompt_without_directions_does_not_repeat_an_earlier_script(openai: AsyncOpenAI) -> None:
    answer = await ask(
        openai, "[[say first]]", {"role": "assistant", "content": "first"}, {"role": "user", "content": "And now?"}
    )

    assert "And now?" in (said(answer) or "")


async def test_the_script_stops_at_a_tool_and_goes_on_after_its_result(openai: AsyncOpenAI) -> None:
    prompt = '[[say Let me look.;; tool look {"at": "[[;;]]"};; say Found it.]]'

    first = await ask(openai, prompt)
    call = function_calls(first)[0]
    second = await ask(openai, prompt, *answered([call.id]))

    assert said(first) == "Let me look."
    assert (call.function.name, call.function.arguments) == ("look", '{"at": "[[;;]]"}')
    assert first.choices[0].finish_reason == "tool_calls"
    assert said(second) == "Found it."


async def test_the_sdk_puts_a_stream_of_several_tool_calls_together_again(openai: AsyncOpenAI) -> None:
    prompt = '[[say All:;; tool a {"x": 1} && b && c {broken]]'

    async with openai.chat.completions.stream(model="m", messages=[{"role": "user", "content": prompt}]) as stream:
        answer = await stream.get_final_completion()

    calls = function_calls(answer)
    assert said(answer) == "All:"
    assert {call.function.name: call.function.arguments for call in calls} == {
        "a": '{"x": 1}',
        "b": "{}",
        "c": "{broken",
    }
    assert len({call.id for call in calls}) == 3


async def test_tool_call_ids_are_the_same_when_a_prompt_is_run_again(openai: AsyncOpenAI) -> None:
    first, again, other = [await ask(openai, prompt) for prompt in ("[[tool a]]", "[[tool a]]", "[[tool a;; say x]]")]

    assert function_calls(first)[0].id == function_calls(again)[0].id
    assert function_calls(first)[0].id != function_calls(other)[0].id


async def test_tool_call_ids_differ_between_turns_and_rounds(openai: AsyncOpenAI) -> None:
    prompt = "[[repeat-tool 2 a]]"
    first = function_calls(await ask(openai, prompt))[0].id
    turn = [*answered([first]), {"role": "assistant", "content": "ok"}, {"role": "user", "content": prompt}]

    next_round = function_calls(await ask(openai, prompt, *answered([first])))[0].id
    next_turn = function_calls(await ask(openai, prompt, *turn))[0].id

    assert len({first, next_round, next_turn}) == 3


async def test_a_repeated_tool_is_called_in_so_many_rounds(openai: AsyncOpenAI) -> None:
    prompt = "[[repeat-tool 2 look {};; say enough]]"

    answers = [await ask(openai, prompt, *answered(["c"]) * rounds) for rounds in range(3)]

    assert [len(function_calls(answer)) for answer in answers] == [1, 1, 0]
    assert said(answers[2]) == "enough"


async def test_a_user_message_that_a_framework_adds_after_a_result_is_no_new_prompt(openai: AsyncOpenAI) -> None:
    nudge = {"role": "user", "content": "Now analyze the result."}

    answer = await ask(openai, "[[tool look;; say Analyzed.]]", *answered(["c"]), nudge)

    assert said(answer) == "Analyzed."


async def test_a_script_that_ends_with_a_tool_still_has_an_answer(openai: AsyncOpenAI) -> None:
    answer = await ask(openai, "[[tool look]]", *answered(["c"]))

    assert said(answer) == "Done."


async def test_a_script_says_something_else_to_the_prompts_that_follow(openai: AsyncOpenAI) -> None:
    prompt, reply = "[[say one;; next;; tool look;; say two]]", {"role": "assistant", "content": "so"}
    again = {"role": "user", "content": "Please correct that."}

    first = await ask(openai, prompt)
    second = await ask(openai, prompt, reply, again)
    third = await ask(openai, prompt, reply, again, *answered(["c"]))
    after_the_end = await ask(openai, prompt, reply, again, reply, again)

    assert [said(first), said(third), said(after_the_end)] == ["one", "two", "Done."]
    assert [call.function.name for call in function_calls(second)] == ["look"]


async def test_what_follows_a_script_is_found_by_the_script_s_words(openai: AsyncOpenAI, provider: Provider) -> None:
    again = {"role": "user", "content": "Please correct that."}

    await ask(openai, "[[say one;; next;; say two]] corrected later", {"role": "assistant", "content": "so"}, again)

    assert len(await provider.requests(contains="corrected later")) == 1


async def test_result_echo_and_history_tell_what_reached_the_wire(openai: AsyncOpenAI) -> None:
    prompt = "Look twice. [[tool look && look;; result]]"

    result = await ask(openai, prompt, *answered(["c1", "c2"]))
    echo = await ask(openai, "Look [[echo]] here.")
    history = await ask(openai, "[[tool look;; history]]", *answered(["c1"]))

    assert said(result) == "result of c1\nresult of c2"
    assert said(echo) == "Look  here."
    assert said(history) == "user: [[tool look;; history]]\nassistant: -> look {}\ntool: result of c1"


async def test_emit_counts_tokens_and_keeps_a_rate(openai: AsyncOpenAI) -> None:
    started = asyncio.get_running_loop().time()
    chunks = await stream(openai, "[[emit 11 @20]]")
    took = asyncio.get_running_loop().time() - started

    assert "".join(pieces(chunks)) == " ".join(f"tok{n}" for n in range(1, 12))
    assert 0.4 < took < 5


async def test_json_comes_in_one_piece(openai: AsyncOpenAI) -> None:
    chunks = await stream(openai, '[[json {"a": "b c"}]]')

    assert pieces(chunks) == ['{"a": "b c"}']


async def test_usage_and_finish_are_reported_as_told(openai: AsyncOpenAI) -> None:
    answer = await ask(openai, "[[say ok;; usage 100 50 cached 40 reasoning 30;; finish length]]")

    usage = answer.usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (100, 50, 150)
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 40
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == 30
    assert answer.choices[0].finish_reason == "length"


async def test_a_refusal_is_told_in_its_own_field(openai: AsyncOpenAI) -> None:
    answer = await ask(openai, "[[refuse I would rather not.]]")

    assert answer.choices[0].message.refusal == "I would rather not."
    assert said(answer) is None


async def test_an_empty_answer_is_valid(openai: AsyncOpenAI) -> None:
    answer = await ask(openai, "[[empty]]")

    assert said(answer) == ""
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("status", "error", "kind", "code"),
    [
        (400, sdk.BadRequestError, "invalid_request_error", None),
        (401, sdk.AuthenticationError, "invalid_request_error", "invalid_api_key"),
        (403, sdk.PermissionDeniedError, "invalid_request_error", None),
        (404, sdk.NotFoundError, "invalid_request_error", "model_not_found"),
        (429, sdk.RateLimitError, "requests", "rate_limit_exceeded"),
        (500, sdk.InternalServerError, "server_error", None),
    ],
)
async def test_errors_have_the_provider_s_shape(
    openai: AsyncOpenAI, status: int, error: type[sdk.APIStatusError], kind: str, code: str | None
) -> None:
    with pytest.raises(error) as raised:
        await ask(openai, f"[[error {status} retry-after 1.5]]")

    assert (raised.value.status_code, raised.value.type, raised.value.code) == (status, kind, code)
    assert raised.value.response.headers["retry-after"] == "1.5"


async def test_an_error_carries_the_code_it_was_given(openai: AsyncOpenAI) -> None:
    with pytest.raises(sdk.RateLimitError) as raised:
        await ask(openai, "[[error 429 code insufficient_quota]]")

    assert (raised.value.type, raised.value.code) == ("insufficient_quota", "insufficient_quota")


async def test_a_context_overflow_has_the_provider_s_code(openai: AsyncOpenAI) -> None:
    with pytest.raises(sdk.BadRequestError, match="maximum context length") as raised:
        await ask(openai, "[[context-too-long]]")

    assert raised.value.code == "context_length_exceeded"


async def test_an_error_with_times_fails_the_first_calls_only(openai: AsyncOpenAI) -> None:
    prompt = "[[error 500 times 1;; error 429 times 1;; say recovered]]"

    with pytest.raises(sdk.InternalServerError):
        await ask(openai, prompt)
    with pytest.raises(sdk.RateLimitError):
        await ask(openai, prompt)
    answers = [said(await ask(openai, prompt)) for _ in range(2)]

    assert answers == ["recovered", "recovered"]


async def test_an_error_inside_a_stream_comes_after_what_was_said(openai: AsyncOpenAI) -> None:
    heard: list[ChatCompletionChunk] = []

    with pytest.raises(sdk.APIError, match="inside the stream"):
        await _listen(openai, "[[say so far so good;; stream-error]]", heard)

    assert "".join(pieces(heard)) == "so far so good"


async def test_a_drop_in_mid_stream_is_no_clean_end(openai: AsyncOpenAI, provider: Provider) -> None:
    heard: list[ChatCompletionChunk] = []

    with pytest.raises(sdk.APIConnectionError):
        await _listen(openai, "[[say dropped midway;; drop]]", heard)

    assert "".join(pieces(heard)) == "dropped midway"
    assert (await provider.last_request("dropped midway", "aborted"))["tokens_sent"] == 2


async def test_a_drop_at_the_start_gives_no_response(openai: AsyncOpenAI) -> None:
    with pytest.raises(sdk.APIConnectionError):
        await ask(openai, "[[drop]]")


async def test_a_stream_that_hangs_has_said_what_came_before(openai: AsyncOpenAI, provider: Provider) -> None:
    heard: list[ChatCompletionChunk] = []

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await _listen(openai, "[[say hanging now;; hang]]", heard)

    assert "".join(pieces(heard)) == "hanging now"
    assert (await provider.last_request("hanging now", "aborted"))["status"] == 200


@pytest.mark.parametrize("directive", ["html", "garbage"])
async def test_nonsense_has_status_200(provider: Provider, directive: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": f"[[{directive}]]"}]}

    whole = await provider.http.post("/v1/chat/completions", json=body)
    streamed = await provider.http.post("/v1/chat/completions", json={**body, "stream": True})

    assert (whole.status_code, streamed.status_code) == (200, 200)
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        whole.json()
    assert "[DONE]" not in streamed.text


async def test_an_unknown_direction_is_refused_with_a_hint(openai: AsyncOpenAI) -> None:
    with pytest.raises(sdk.BadRequestError, match=r"Unknown direction 'emti'. Did you mean 'emit'\? Known: say"):
        await ask(openai, "[[emti 3]]")


@pytest.mark.parametrize(
    "directive",
    ["say", "emit", "emit x", "emit 5 @0", "emit 9999999999", "tool", "tool a && ", "wait soon", "error", "error 200",
     "error 500 times", "finish never", "usage 1", "usage 1 2 cached 3", "hang on", "repeat-tool look", "refuse"],
)  # fmt: skip
async def test_a_badly_written_direction_is_refused_with_its_syntax(openai: AsyncOpenAI, directive: str) -> None:
    with pytest.raises(sdk.BadRequestError, match=f"is not understood. Write: {directive.split(maxsplit=1)[0]}"):
        await ask(openai, f"[[say first;; {directive}]]")


async def test_a_request_that_is_none_is_refused(provider: Provider) -> None:
    for body in (b"{", b"[]", b'{"model": "m", "messages": []}', b'{"model": "m", "messages": [{"role": "king"}]}'):
        answer = await provider.http.post("/v1/chat/completions", content=body)

        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_the_scripted_model_is_listed(openai: AsyncOpenAI) -> None:
    models = await openai.models.list()

    assert [model.id for model in models.data] == ["scripted"]


async def _listen(client: AsyncOpenAI, prompt: str, heard: list[ChatCompletionChunk]) -> None:
    chunks = await client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": prompt}], stream=True
    )
    async for chunk in chunks:
        heard.append(chunk)
