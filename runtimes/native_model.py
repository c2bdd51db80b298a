"""One turn's conversation with a model over pydantic-ai's direct calls, which have no loop of their own."""

import json
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.exceptions import AgentRunError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    SystemPromptPart,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from runtimes.errors import ModelAnswerEmpty, ModelConnectionBroken, RuntimeCrashed
from runtimes.finish_reasons import finish_of
from runtimes.model_clients import ClientPool
from runtimes.tool_calls import RequestedCall
from runtimes.types import FinishReason, ModelEndpoint, RuntimeExecutionContext, Tool, ToolResult, Wire

#: Our names of model parameters and pydantic-ai's, on each wire.
_PARAMETERS: Mapping[Wire, Mapping[str, str]] = {
    Wire.OPENAI: {
        "temperature": "temperature",
        "max_tokens": "max_tokens",
        "top_p": "top_p",
        "stop": "stop_sequences",
        "seed": "seed",
        "presence_penalty": "presence_penalty",
        "frequency_penalty": "frequency_penalty",
        "reasoning_effort": "openai_reasoning_effort",
    },
    Wire.ANTHROPIC: {
        "temperature": "temperature",
        "max_tokens": "max_tokens",
        "top_p": "top_p",
        "top_k": "top_k",
        "stop": "stop_sequences",
    },
}
#: Providers that are known to take an output schema of an object; others may reject the whole request for it.
_TAKES_SCHEMA = {Wire.OPENAI: "openai", Wire.ANTHROPIC: "anthropic"}


@dataclass(slots=True)
class Answer:
    """A model's answer; `text` grows while it comes."""

    text: str = ""
    finish: FinishReason = FinishReason.STOP
    calls: Sequence[RequestedCall] = field(default_factory=list[RequestedCall])


class Conversation:
    """The messages of a turn, from the history to the last tool results."""

    def __init__(self, context: RuntimeExecutionContext, clients: ClientPool) -> None:
        self._model = _model(context.model, clients)
        self._endpoint = context.model
        self._streaming = context.streaming
        self._settings = _settings(context.configuration, context.model.wire)
        self._parameters = _parameters(context, self._model)
        self._messages = _messages(context)
        self._answers = 0

    async def ask(self, answer: Answer) -> AsyncGenerator[str, None]:
        """Call the model; gives the answer's text piece by piece, and fills in `answer`.

        Raises:
            RuntimeFailure: there is no answer, or none that can be used.
        """
        self._answers += 1
        with _errors(self._endpoint):
            if self._streaming:
                asked: Any = model_request_stream(**self._request())
                async with asked as stream:
                    async for event in stream:
                        if text := _text(event):
                            answer.text += text
                            yield text
                response: ModelResponse = stream.get()
            else:
                response = await model_request(**self._request())
        if rest := self._finish(answer, response):
            answer.text += rest
            yield rest

    def give(self, calls: Sequence[RequestedCall], results: Sequence[ToolResult]) -> None:
        """Add the results of the last answer's calls."""
        is_told = self._endpoint.wire is Wire.ANTHROPIC
        self._messages.append(
            ModelRequest(
                parts=[
                    ToolReturnPart(
                        tool_name=call.name,
                        content=result.text,
                        tool_call_id=call.id,
                        outcome="failed" if result.is_error and is_told else "success",
                    )
                    for call, result in zip(calls, results, strict=True)
                ]
            )
        )

    def _request(self) -> dict[str, Any]:
        return {
            "model": self._model,
            "messages": self._messages,
            "model_settings": self._settings,
            "model_request_parameters": self._parameters,
            "instrument": False,
        }

    def _finish(self, answer: Answer, response: ModelResponse) -> str:
        """Take over what is known only at the end; returns the text that has not been told."""
        details = response.provider_details or {}
        if details.keys().isdisjoint({"finish_reason", "refusal"}):
            raise ModelConnectionBroken(f"The answer of model '{self._endpoint.model}' broke off before its end.")
        answer.finish = finish_of(response.finish_reason)
        answer.calls = [_call(part) for part in response.tool_calls]
        rest = details.get("refusal") or ("" if self._streaming else _whole_text(response))
        self._refuse_silence(answer, rest)
        self._messages.append(response)
        return rest

    def _refuse_silence(self, answer: Answer, rest: str) -> None:
        """After tools an empty answer is one: the work is done."""
        spoke = answer.text or rest or answer.calls
        if self._answers == 1 and not spoke and answer.finish is FinishReason.STOP:
            raise ModelAnswerEmpty(f"Model '{self._endpoint.model}' gave an empty answer.")


def _call(part: ToolCallPart) -> RequestedCall:
    written = part.args if isinstance(part.args, str) else json.dumps(part.args or {}, ensure_ascii=False)
    return RequestedCall(part.tool_call_id, part.tool_name, written)


def warm_up(clients: ClientPool) -> None:
    """Load what pydantic-ai and the SDKs load with their first model, before the first execution waits for it."""
    for wire in Wire:
        _model(ModelEndpoint("http://127.0.0.1", "none", wire, "none", ""), clients)


@contextmanager
def _errors(endpoint: ModelEndpoint) -> Generator[None]:
    """The model gateway knows what went wrong; the provider's own words stay out of logs and of Temporal."""
    try:
        yield
    except AgentRunError as error:
        kind = type(error).__name__
        raise RuntimeCrashed(f"The call of model '{endpoint.model}' failed in the framework: {kind}.") from None


def _model(endpoint: ModelEndpoint, clients: ClientPool) -> Model[Any]:
    """Nothing is made of a name that is the provider's own: no other role, no other schema of a tool."""
    if endpoint.wire is Wire.ANTHROPIC:
        return AnthropicModel(endpoint.model, provider=AnthropicProvider(anthropic_client=clients.anthropic(endpoint)))
    return OpenAIChatModel(
        endpoint.model,
        provider=OpenAIProvider(openai_client=clients.openai(endpoint)),
        profile=OpenAIModelProfile(
            json_schema_transformer=None,
            openai_system_prompt_role="system",
            openai_chat_supports_max_completion_tokens=endpoint.provider == "openai",
            openai_chat_streaming_requires_finish_reason=True,
        ),
    )


def _settings(configuration: Mapping[str, Any], wire: Wire) -> ModelSettings:
    found = {
        theirs: configuration[ours] for ours, theirs in _PARAMETERS[wire].items() if configuration.get(ours) is not None
    }
    if isinstance(stop := found.get("stop_sequences"), str):
        found["stop_sequences"] = [stop]
    return cast("ModelSettings", found)


def _parameters(context: RuntimeExecutionContext, model: Model[Any]) -> ModelRequestParameters:
    tools = [_tool(tool) for tool in context.tools]
    schema = dict(context.output_schema or {})
    taken = context.model.provider == _TAKES_SCHEMA[context.model.wire] and schema.get("type") == "object"
    if not taken or not model.profile.get("supports_json_schema_output"):
        return ModelRequestParameters(function_tools=tools)
    output = OutputObjectDefinition(json_schema=schema, name="output")
    return ModelRequestParameters(function_tools=tools, output_mode="native", output_object=output)


def _tool(tool: Tool) -> ToolDefinition:
    return ToolDefinition(
        name=tool.name, description=tool.description, parameters_json_schema=dict(tool.parameters), strict=False
    )


def _messages(context: RuntimeExecutionContext) -> list[ModelMessage]:
    first = [SystemPromptPart(context.system_prompt)] if context.system_prompt else []
    messages: list[ModelMessage] = [ModelRequest(parts=first)] if first else []
    for message in context.history:
        if message.role == "user":
            messages.append(ModelRequest(parts=[UserPromptPart(message.content)]))
        else:
            messages.append(ModelResponse(parts=[TextPart(message.content)]))
    return [*messages, ModelRequest(parts=[UserPromptPart(context.prompt)])]


def _text(event: ModelResponseStreamEvent) -> str:
    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
        return event.part.content
    if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
        return event.delta.content_delta
    return ""


def _whole_text(response: ModelResponse) -> str:
    return "".join(part.content for part in response.parts if isinstance(part, TextPart))
