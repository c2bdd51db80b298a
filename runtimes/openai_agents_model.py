"""Chat completions of a turn of the OpenAI Agents SDK, watched: why an answer ended, and which calls it may make."""
# pyright: reportIncompatibleMethodOverride=false, reportUnknownVariableType=false

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

from agents import ModelSettings, OpenAIChatCompletionsModel
from openai import AsyncOpenAI, omit
from openai.resources.chat.completions import AsyncCompletions
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import (
    Choice,
    ChoiceDelta,
    ChoiceDeltaToolCall,
    ChoiceDeltaToolCallFunction,
)
from openai.types.shared import Reasoning

from runtimes import model_parameters
from runtimes.call_pieces import CallPieces
from runtimes.depth import LEVELS, is_deep
from runtimes.errors import ModelAnswerInvalid
from runtimes.model_clients import ClientPool
from runtimes.openai_agents_turn import Turn
from runtimes.tool_calls import RequestedCall
from runtimes.types import ModelEndpoint, RuntimeExecutionContext

#: Model parameters that are called the same here and there; those that the SDK has no setting for go as they are.
_PARAMETERS = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
_OTHERS = ("stop", "seed")


class WatchedCompletions(AsyncCompletions):
    """Holds an answer's tool calls back until it is whole: then it is known which of them the SDK may see."""

    def __init__(self, client: AsyncOpenAI, turn: Turn) -> None:
        super().__init__(client)
        self._turn = turn

    async def create(self, **request: Any) -> AsyncGenerator[ChatCompletionChunk, None]:
        """An answer in chunks, whether or not the provider was asked to stream it."""
        self._turn.begin_answer()
        for tool in request["tools"] or ():
            tool["function"].pop("strict", None)
        return self._answer(request)

    async def _answer(self, request: Mapping[str, Any]) -> AsyncGenerator[ChatCompletionChunk, None]:
        held = _Held()
        pieces = self._streamed(request) if self._turn.streaming else self._whole(request)
        async with aclosing(pieces) as chunks:
            async for chunk in chunks:
                held.take(chunk)
                self._turn.say(_text(chunk))
                yield chunk
        if calls := self._turn.settle(held.pieces.calls(), held.finish):
            yield _calling(calls, held.answer)

    async def _streamed(self, request: Mapping[str, Any]) -> AsyncGenerator[ChatCompletionChunk, None]:
        stream: Any = await super().create(**request)
        async with stream:
            async for chunk in stream:
                yield chunk

    async def _whole(self, request: Mapping[str, Any]) -> AsyncGenerator[ChatCompletionChunk, None]:
        whole: dict[str, Any] = {**request, "stream": False, "stream_options": omit}
        answer: Any = await super().create(**whole)
        if not isinstance(answer, ChatCompletion) or not answer.choices:
            raise ModelAnswerInvalid(f"What answered for model '{request['model']}' is no chat completion.")
        yield _as_chunk(answer)


class _Held:
    """What is taken out of an answer's chunks."""

    def __init__(self) -> None:
        self.finish: str | None = None
        self.answer: ChatCompletionChunk | None = None
        self.pieces = CallPieces()

    def take(self, chunk: ChatCompletionChunk) -> None:
        """Take the tool calls out of a chunk, and the reason of the answer's end; a refusal becomes text."""
        for choice in chunk.choices[:1]:
            self.answer = chunk
            self.pieces.add(choice.delta.tool_calls)
            choice.delta.tool_calls = None
            if choice.delta.refusal:
                choice.delta.content, choice.delta.refusal = choice.delta.refusal, None
                self.finish = "refusal"
            self.finish = self.finish or choice.finish_reason
            choice.finish_reason = choice.finish_reason and "stop"


def gateway_model(context: RuntimeExecutionContext, turn: Turn, clients: ClientPool) -> OpenAIChatCompletionsModel:
    """The model that the context names; nothing comes from the environment."""
    client = clients.openai(context.model)
    client.chat.__dict__["completions"] = WatchedCompletions(client, turn)
    return OpenAIChatCompletionsModel(context.model.model, client)


def model_settings(configuration: Mapping[str, Any], endpoint: ModelEndpoint) -> ModelSettings:
    """The agent's model parameters."""
    given = model_parameters.given(configuration, _PARAMETERS)
    others = model_parameters.given(configuration, _OTHERS)
    limit = configuration.get("max_tokens")
    if limit is not None and endpoint.provider == "openai":
        others["max_completion_tokens"] = limit
    elif limit is not None:
        given["max_tokens"] = limit
    effort = configuration.get("reasoning_effort")
    reasoning = Reasoning(effort=effort) if effort is not None else None
    return ModelSettings(**given, reasoning=reasoning, include_usage=True, store=None, extra_args=others or None)


def _text(chunk: ChatCompletionChunk) -> str:
    return "".join(choice.delta.content or "" for choice in chunk.choices[:1])


def _as_chunk(answer: ChatCompletion) -> ChatCompletionChunk:
    message, finish = answer.choices[0].message, answer.choices[0].finish_reason
    calls = [
        _piece(index, RequestedCall(call.id or "", call.function.name, call.function.arguments))
        for index, call in enumerate(message.tool_calls or ())
        if call.type == "function"
    ]
    delta = ChoiceDelta(content=message.content, refusal=message.refusal, tool_calls=calls or None)
    return _chunk(answer, delta, cast("Any", finish))


def _calling(calls: Sequence[RequestedCall], answer: ChatCompletionChunk | None) -> ChatCompletionChunk:
    assert answer is not None
    return _chunk(answer, ChoiceDelta(tool_calls=[_piece(index, call) for index, call in enumerate(calls)]))


def _piece(index: int, call: RequestedCall) -> ChoiceDeltaToolCall:
    function = ChoiceDeltaToolCallFunction(name=call.name, arguments=_flat(call.arguments))
    return ChoiceDeltaToolCall(index=index, id=call.id, type="function", function=function)


def _flat(arguments: str) -> str:
    """The SDK walks through arguments by recursion: what is nested too deeply for that it gets as one text."""
    if arguments.count("[") + arguments.count("{") <= LEVELS:
        return arguments
    try:
        deep = is_deep(json.loads(arguments))
    except RecursionError:
        deep = True
    except ValueError:
        deep = False
    return json.dumps(arguments) if deep else arguments


def _chunk(answer: ChatCompletion | ChatCompletionChunk, delta: ChoiceDelta, finish: Any = None) -> ChatCompletionChunk:
    choice = Choice(index=0, delta=delta, finish_reason=finish)
    return ChatCompletionChunk(
        id=answer.id, created=answer.created, model=answer.model, object="chat.completion.chunk", choices=[choice]
    )
