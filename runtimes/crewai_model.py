"""CrewAI's model on the model gateway, and what stands between the two: the calls as the model wrote them."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import httpx
from crewai.llms.base_llm import BaseLLM
from openai import AsyncOpenAI, OpenAIError
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import PrivateAttr

from runtimes import model_parameters
from runtimes.call_pieces import CallPieces
from runtimes.crewai_tools import Toolbox
from runtimes.crewai_turn import Turn
from runtimes.errors import ModelAnswerInvalid, RuntimeCrashed, RuntimeFailure
from runtimes.openai_clients import OpenAIClients
from runtimes.types import RuntimeExecutionContext

#: CrewAI shortens conversations by models' names, which say nothing here.
_CONTEXT_WINDOW = 1_000_000_000
#: What a crew gets for an answer without text, which it would take for a failure.
_NOTHING = " "


class GatewayLLM(BaseLLM):
    """Any endpoint that speaks OpenAI's chat completions.

    CrewAI sees tool calls that carry nothing but their id; what the model wrote is put back on the way out.
    """

    _turn: Turn = PrivateAttr()
    _toolbox: Toolbox = PrivateAttr()
    _client: AsyncOpenAI = PrivateAttr()
    _parameters: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def of(cls, context: RuntimeExecutionContext, turn: Turn, toolbox: Toolbox, clients: OpenAIClients) -> "GatewayLLM":
        """The model that the context names; nothing comes from the environment."""
        made = cls(model=context.model.model, provider="openai")
        made._turn, made._toolbox = turn, toolbox
        made._client = clients.openai(context.model)
        made._parameters = model_parameters.of_openai(context.configuration, context.model)
        return made

    def supports_function_calling(self) -> bool:
        return True

    def supports_stop_words(self) -> bool:
        return False

    def get_context_window_size(self) -> int:
        return _CONTEXT_WINDOW

    def get_input_tokens_count(self, messages: Any, tools: Any = None, response_model: Any = None) -> int:
        """Nothing: the gateway counts, and nobody is told of an estimate."""
        return 0

    def call(self, messages: Any, tools: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `acall`, from one of the crew's threads."""
        return self._turn.wait_for(self.acall(messages, tools))

    async def acall(self, messages: Any, tools: Any = None, *args: Any, **kwargs: Any) -> Any:
        """The model's text, or its tool calls.

        Raises:
            TurnOver: the turn is over.
        """
        written = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        try:
            return await self._answered(written, tools or ())
        except RuntimeFailure as failure:
            self._turn.fail(failure)
            raise
        except (OpenAIError, httpx.HTTPError, ValueError) as error:
            failure = RuntimeCrashed(f"The call of model '{self.model}' failed: {type(error).__name__}.")
            self._turn.fail(failure)
            raise failure from None

    async def _answered(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> Any:
        self._toolbox.note_results(messages)
        number = self._turn.begin_answer()
        answer = _Answer()
        pieces = self._streamed if self._turn.streaming else self._whole
        request = {"model": self.model, "messages": [self._restored(each) for each in messages], **self._parameters}
        if definitions := self._toolbox.definitions(tools):
            request["tools"] = definitions
        async with aclosing(pieces(request)) as chunks:
            async for chunk in chunks:
                self._turn.say(number, answer.take(chunk))
        calls = self._turn.settle(number, answer.text, answer.pieces.calls(), answer.finish)
        return [self._toolbox.shown(call, tools) for call in calls] or answer.text or _NOTHING

    async def _streamed(self, request: Mapping[str, Any]) -> AsyncGenerator[ChatCompletionChunk, None]:
        asked: dict[str, Any] = {**request, "stream": True, "stream_options": {"include_usage": True}}
        stream: Any = await self._client.chat.completions.create(**asked)
        async with stream:
            async for chunk in stream:
                yield chunk

    async def _whole(self, request: Mapping[str, Any]) -> AsyncGenerator[ChatCompletionChunk, None]:
        answer: Any = await self._client.chat.completions.create(**request)
        if not isinstance(answer, ChatCompletion) or not answer.choices:
            raise ModelAnswerInvalid(f"What answered for model '{self.model}' is no chat completion.")
        yield _as_chunk(answer)

    def _restored(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """A message as the wire takes it, with its tool calls as the model wrote them."""
        kept = {name: message[name] for name in ("role", "content", "tool_call_id") if message.get(name) is not None}
        if calls := message.get("tool_calls"):
            kept["tool_calls"] = [self._toolbox.written(call) for call in calls]
            kept["content"] = self._turn.said_with(calls[0]["id"])
        return kept


class _Answer:
    """What has come of an answer; `finish` is the provider's own word."""

    def __init__(self) -> None:
        self.text = ""
        self.finish: str | None = None
        self.pieces = CallPieces()

    def take(self, chunk: ChatCompletionChunk) -> str:
        """Note a chunk; gives its text."""
        if not chunk.choices:
            return ""
        delta = chunk.choices[0].delta
        self.pieces.add(delta.tool_calls)
        self.finish = "refusal" if delta.refusal else self.finish or chunk.choices[0].finish_reason
        text = delta.content or delta.refusal or ""
        self.text += text
        return text


def _as_chunk(answer: ChatCompletion) -> ChatCompletionChunk:
    """A whole answer in the form of a streamed one."""
    choice = answer.choices[0].model_dump()
    calls: list[dict[str, Any]] = choice["message"].get("tool_calls") or []
    delta = {**choice["message"], "tool_calls": [{**call, "index": at} for at, call in enumerate(calls)]}
    made = {"index": 0, "delta": delta, "finish_reason": choice["finish_reason"]}
    whole = answer.model_dump(include={"id", "created", "model"})
    return ChatCompletionChunk.model_validate({**whole, "object": "chat.completion.chunk", "choices": [made]})
