"""Agno's model classes, watched: what they get is noted, what they pass over in silence is an error."""
# pyright: reportUnknownMemberType=false

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, cast

from agno.models.anthropic import Claude
from agno.models.base import Model
from agno.models.message import Message
from agno.models.openai.like import OpenAILike
from agno.models.response import ModelResponse
from agno.tools.function import FunctionCall
from anthropic.types import Message as AnthropicMessage
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from runtimes import model_parameters
from runtimes.agno_turn import Turn
from runtimes.errors import ModelAnswerInvalid
from runtimes.model_clients import ClientPool
from runtimes.types import RuntimeExecutionContext, Wire


class _Watched(Model):
    """Goes before one of Agno's model classes."""

    turn: Turn

    async def ainvoke_stream(self, *args: Any, **kwargs: Any) -> AsyncGenerator[ModelResponse, None]:
        """Streams, or gives the whole answer in one piece, as the turn wants it."""
        with self.turn.model_call():
            if not self.turn.streaming:
                yield await super().ainvoke(*args, **kwargs)  # pyright: ignore[reportAbstractUsage]
                return
            async with aclosing(self.pieces(*args, **kwargs)) as pieces:
                async for piece in pieces:
                    yield piece

    def pieces(self, *args: Any, **kwargs: Any) -> AsyncGenerator[ModelResponse, None]:
        """One answer, piece by piece; closing it closes the connection."""
        stream = super().ainvoke_stream(*args, **kwargs)  # pyright: ignore[reportAbstractUsage]
        return cast("AsyncGenerator[ModelResponse, None]", stream)

    def get_function_calls_to_run(
        self, assistant_message: Message, messages: list[Message], functions: Any = None
    ) -> list[FunctionCall]:
        """None that Agno runs itself: it turns the text "none" into None and lets no failure of a tool through."""
        self.turn.ask(assistant_message.tool_calls or [])
        return []

    async def arun_function_calls(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, function_calls: list[FunctionCall], function_call_results: list[Message], *_: Any, **__: Any
    ) -> AsyncGenerator[ModelResponse, None]:
        """Our own way instead, all calls at once."""
        for result in await self.turn.run_tools():
            function_call_results.append(result)
            yield ModelResponse()


class WatchedOpenAI(_Watched, OpenAILike):
    """Any endpoint that speaks OpenAI's chat completions."""

    async def pieces(self, messages: list[Message], **kwargs: Any) -> AsyncGenerator[ModelResponse, None]:
        """As Agno does it, except that Agno leaves the connection open when the stream is left early."""
        stream: Any = await self.get_async_client().chat.completions.create(
            model=self.id,
            messages=cast("Any", self._format_all_messages(messages)),
            stream=True,
            stream_options={"include_usage": True},
            **self.get_request_params(tools=kwargs.get("tools")),
        )
        async with aclosing(stream._iterator) as chunks:
            async for chunk in chunks:
                yield self._parse_provider_response_delta(chunk)

    def _parse_provider_response(self, response: ChatCompletion, *args: Any, **kwargs: Any) -> ModelResponse:
        choices: Any = getattr(response, "choices", None)
        if not choices:
            raise ModelAnswerInvalid(f"What answered for model '{self.id}' is no chat completion.")
        parsed = super()._parse_provider_response(response, *args, **kwargs)
        return self._note(response, choices[0].message.refusal, parsed)

    def _parse_provider_response_delta(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, response_delta: ChatCompletionChunk
    ) -> ModelResponse:
        parsed = super()._parse_provider_response_delta(response_delta)
        refusal = response_delta.choices[0].delta.refusal if response_delta.choices else None
        return self._note(response_delta, refusal, parsed)

    def parse_tool_calls(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, tool_calls_data: list[Any]
    ) -> list[dict[str, Any]]:
        """Joins the pieces of streamed calls; those of a whole answer are dictionaries already."""
        return OpenAILike.parse_tool_calls(tool_calls_data) if self.turn.streaming else tool_calls_data

    def _note(
        self, response: ChatCompletion | ChatCompletionChunk, refusal: str | None, parsed: ModelResponse
    ) -> ModelResponse:
        answer = self.turn.answer
        answer.started = True
        finish = response.choices[0].finish_reason if response.choices else None
        if refusal:
            parsed.content, answer.finish = refusal, "refusal"
        elif finish and answer.finish is None:
            answer.finish = finish
        answer.spoke |= bool(parsed.content or parsed.tool_calls)
        return parsed


class WatchedClaude(_Watched, Claude):
    """Any endpoint that speaks Anthropic's messages."""

    def _parse_provider_response(self, response: Any, *args: Any, **kwargs: Any) -> ModelResponse:
        if not isinstance(response, AnthropicMessage) or not response.stop_reason:
            raise ModelAnswerInvalid(f"What answered for model '{self.id}' is no message.")
        parsed = super()._parse_provider_response(response, *args, **kwargs)
        return self._note(response, parsed)

    def _parse_provider_response_delta(self, response: Any, *args: Any, **kwargs: Any) -> ModelResponse:
        parsed = super()._parse_provider_response_delta(response, *args, **kwargs)
        return self._note(getattr(response, "message", None), parsed)

    def _note(self, message: AnthropicMessage | None, parsed: ModelResponse) -> ModelResponse:
        answer = self.turn.answer
        answer.started = True
        answer.spoke |= bool(parsed.content or parsed.tool_calls)
        if message is not None:
            answer.finish = message.stop_reason
        return parsed


def watched_model(context: RuntimeExecutionContext, turn: Turn, clients: ClientPool) -> Model:
    """The model that the context names, with its parameters; nothing comes from the environment."""
    endpoint, configuration = context.model, context.configuration
    model: WatchedOpenAI | WatchedClaude
    if endpoint.wire is Wire.OPENAI:
        parameters = model_parameters.of_openai(configuration, endpoint)
        client = clients.openai(endpoint)
        model = WatchedOpenAI(id=endpoint.model, api_key=endpoint.api_key, async_client=client, **parameters)
    else:
        parameters = _anthropic_parameters(configuration)
        client = clients.anthropic(endpoint)
        model = WatchedClaude(id=endpoint.model, api_key=endpoint.api_key, async_client=client, **parameters)
    model.turn = turn
    return model


def tool_definitions(context: RuntimeExecutionContext) -> list[dict[str, Any]]:
    """The context's tools in the wire's own form: Agno sends such as they are."""
    if context.model.wire is Wire.ANTHROPIC:
        return [
            {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}
            for tool in context.tools
        ]
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
        }
        for tool in context.tools
    ]


def _anthropic_parameters(configuration: Mapping[str, Any]) -> dict[str, Any]:
    found = model_parameters.given(configuration, model_parameters.ANTHROPIC)
    if stop := found.pop("stop", None):
        found["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    return found
