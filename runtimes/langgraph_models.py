"""LangChain's chat models on the model gateway, and the tools that they may call."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import cached_property, partial
from typing import Any, cast

from anthropic import AsyncAnthropic
from langchain_anthropic import ChatAnthropic
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_openai.chat_models.base import BaseChatOpenAI
from pydantic import PrivateAttr, SecretStr

from runtimes import model_parameters
from runtimes.langgraph_tools import GatewayTool
from runtimes.langgraph_turn import Turn, arguments_seen
from runtimes.model_clients import ClientPool
from runtimes.tool_calls import RequestedCall
from runtimes.types import ModelEndpoint, RuntimeExecutionContext, Wire

Tell = Callable[[ChatGenerationChunk], Awaitable[None]]


class _OnGateway(BaseChatModel):
    """Goes before one of LangChain's model classes.

    Streams itself, because LangChain mends the arguments of streamed tool calls that are cut off.
    """

    _turn: Turn = PrivateAttr()

    def at(self, turn: Turn) -> "_OnGateway":
        """Tie the model to its turn."""
        self._turn = turn
        return self

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """Our tools go in the wire's own words: LangChain would change their schemas."""
        wire = Wire.ANTHROPIC if isinstance(self, ChatAnthropic) else Wire.OPENAI
        sent = [tool.definition(wire) if isinstance(tool, GatewayTool) else tool for tool in tools]
        return super().bind_tools(sent, **kwargs)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        ask = partial(self._answer, messages, stop, run_manager, **kwargs)
        task = (run_manager.metadata if run_manager else {}).get("langgraph_checkpoint_ns", "")
        answer = await self._turn.replays.once(task, f"model {len(messages)} {messages[-1].text}", ask)
        return ChatResult(generations=[ChatGeneration(message=answer.model_copy())])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._turn.wait_for(self._agenerate(messages, stop, _for_coroutines(run_manager), **kwargs))

    async def _answer(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: AsyncCallbackManagerForLLMRun | None,
        **kwargs: Any,
    ) -> AIMessage:
        self._turn.begin_model_call()
        run_id = f"lc_run--{run_manager.run_id}" if run_manager else None

        async def tell(piece: ChatGenerationChunk) -> None:
            piece.message.id = run_id
            if run_manager is not None:
                await run_manager.on_llm_new_token(piece.text, chunk=piece)

        ask = self._streamed if self._turn.streaming else self._whole
        message, finish = await ask(messages, stop, tell, **kwargs)
        await tell(ChatGenerationChunk(message=AIMessageChunk(content="", chunk_position="last")))
        return self._settled(message, finish).model_copy(update={"id": run_id})

    async def _streamed(
        self, messages: list[BaseMessage], stop: list[str] | None, tell: Tell, **kwargs: Any
    ) -> tuple[AIMessage, str | None]:
        pieces: list[ChatGenerationChunk] = []
        stream = cast("Any", self._astream(messages, stop, **kwargs))
        async with aclosing(stream) as answers:
            async for piece in answers:
                await tell(piece)
                pieces.append(piece)
        if not pieces:
            return AIMessage(""), None
        finish = next((reason for piece in pieces if (reason := _finish(piece))), None)
        return cast("AIMessageChunk", (pieces[0] + pieces[1:]).message), finish

    async def _whole(
        self, messages: list[BaseMessage], stop: list[str] | None, tell: Tell, **kwargs: Any
    ) -> tuple[AIMessage, str | None]:
        result = await super()._agenerate(messages, stop, **kwargs)
        (generation,) = result.generations
        message = cast("AIMessage", generation.message)
        if refusal := message.additional_kwargs.get("refusal"):
            message.content = refusal
        await tell(ChatGenerationChunk(message=AIMessageChunk(content=message.text)))
        return message, _finish(generation) or (result.llm_output or {}).get("stop_reason")

    def _settled(self, message: AIMessage, finish: str | None) -> AIMessage:
        """The answer as the graph gets it: with the tool calls that it may run."""
        finish = "refusal" if message.additional_kwargs.get("refusal") else finish
        calls = self._turn.calls_to_run(message.text, _asked(message), finish)
        seen = [
            {"name": call.name, "args": arguments_seen(call.arguments), "id": call.id, "type": "tool_call"}
            for call in calls
        ]
        plain = message_chunk_to_message(message) if isinstance(message, AIMessageChunk) else message
        changes = {"tool_calls": seen, "invalid_tool_calls": [], "content": _content(message, keep=bool(seen))}
        return cast("AIMessage", plain.model_copy(update={**changes, "additional_kwargs": {}}))


class GatewayOpenAI(_OnGateway, BaseChatOpenAI):
    """Any endpoint that speaks OpenAI's chat completions."""

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], *args: Any, **kwargs: Any
    ) -> ChatGenerationChunk | None:
        """As LangChain does it, but with refusals, which it leaves out."""
        made = super()._convert_chunk_to_generation_chunk(chunk, *args, **kwargs)
        choices = chunk.get("choices") or [{}]
        refusal = (choices[0].get("delta") or {}).get("refusal")
        if made is not None and refusal:
            made.message.content = refusal
            made.message.additional_kwargs["refusal"] = refusal
        return made


class GatewayAnthropic(_OnGateway, ChatAnthropic):
    """Any endpoint that speaks Anthropic's messages."""

    _vendor: AsyncAnthropic = PrivateAttr()

    @cached_property
    def _async_client(self) -> AsyncAnthropic:
        return self._vendor


def gateway_model(context: RuntimeExecutionContext, turn: Turn, clients: ClientPool) -> BaseChatModel:
    """The model that the context names, with its parameters; nothing comes from the environment."""
    make = _openai if context.model.wire is Wire.OPENAI else _anthropic
    return make(context.model, context.configuration, clients).at(turn)


def _openai(endpoint: ModelEndpoint, configuration: Mapping[str, Any], clients: ClientPool) -> _OnGateway:
    parameters = model_parameters.of_openai(configuration, endpoint)
    if "max_completion_tokens" in parameters:
        parameters["model_kwargs"] = {"max_completion_tokens": parameters.pop("max_completion_tokens")}
    client = clients.openai(endpoint)
    return GatewayOpenAI(
        model=endpoint.model,
        api_key=SecretStr(endpoint.api_key),
        base_url=endpoint.base_url,
        client=client.chat.completions,
        root_async_client=client,
        async_client=client.chat.completions,
        max_retries=0,
        stream_usage=True,
        stream_chunk_timeout=None,
        use_responses_api=False,
        http_socket_options=(),
        disable_streaming=True,
        cache=False,
        **parameters,
    )


def _anthropic(endpoint: ModelEndpoint, configuration: Mapping[str, Any], clients: ClientPool) -> _OnGateway:
    parameters = model_parameters.given(configuration, model_parameters.ANTHROPIC)
    if isinstance(parameters.get("stop"), str):
        parameters["stop"] = [parameters["stop"]]
    model = GatewayAnthropic(
        model_name=endpoint.model,
        api_key=SecretStr(endpoint.api_key),
        base_url=endpoint.base_url,
        max_retries=0,
        disable_streaming=True,
        cache=False,
        **parameters,
    )
    model._vendor = clients.anthropic(endpoint)  # pyright: ignore[reportPrivateUsage]
    return model


def _finish(generation: ChatGeneration) -> str | None:
    told = {**(generation.generation_info or {}), **generation.message.response_metadata}
    return told.get("finish_reason") or told.get("stop_reason")


def _asked(message: AIMessage) -> list[RequestedCall]:
    if isinstance(message, AIMessageChunk):
        return [_call(call) for call in message.tool_call_chunks]
    whole = [_call({**call, "args": json.dumps(call["args"])}) for call in message.tool_calls]
    return [*whole, *(_call(call) for call in message.invalid_tool_calls)]


def _call(call: Mapping[str, Any]) -> RequestedCall:
    return RequestedCall(call["id"] or "", call["name"] or "", call["args"] or "")


def _content(message: AIMessage, *, keep: bool) -> Any:
    """What was said, without calls that are not made."""
    if keep or isinstance(message.content, str):
        return message.content
    return [block for block in message.content if isinstance(block, str) or block.get("type") != "tool_use"]


def _for_coroutines(manager: CallbackManagerForLLMRun | None) -> AsyncCallbackManagerForLLMRun | None:
    if manager is None:
        return None
    return AsyncCallbackManagerForLLMRun(
        run_id=manager.run_id,
        handlers=manager.handlers,
        inheritable_handlers=manager.inheritable_handlers,
        parent_run_id=manager.parent_run_id,
        tags=manager.tags,
        metadata=manager.metadata,
    )
