"""The OpenAI wire: chat completions."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal
from uuid import uuid4

import orjson
from pydantic import BaseModel, Field, ValidationError

from services.scripted_model.actions import FinishReason, Thoughts, ToolCall, Usage
from services.scripted_model.conversation import Conversation, Message
from services.scripted_model.errors import ModelError, Problem, Theme
from services.scripted_model.thoughts import Kind, is_seal, seal
from services.scripted_model.wire import Writer, dumps, event, halves, named

_FINISH: Mapping[FinishReason, str] = {"refusal": "stop"}
_ERROR_TYPES = {429: "requests"}
_ERROR_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
_SERVER_ERROR = 500
_WORDS: Mapping[Theme, str] = {
    "too long": (
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 150000 tokens."
        " Please reduce the length of the messages."
    ),
    "thoughts": "The `reasoning_content` in the thinking mode must be passed back to the API.",
    "seal": (
        "Function call is missing a thought_signature in functionCall parts. This is required for tools to work"
        " correctly, and missing thought_signature may lead to degraded model performance."
    ),
}


class _Part(BaseModel):
    text: str | None = None


class _Function(BaseModel):
    name: str = ""
    arguments: str = ""


class _Google(BaseModel):
    thought_signature: str = ""


class _Extra(BaseModel):
    google: _Google = _Google()


class _FunctionHolder(BaseModel):
    function: _Function = _Function()
    extra_content: _Extra | None = None


class _ChatMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_Part] | None = None
    tool_calls: list[_FunctionHolder] | None = None
    reasoning_content: str | None = None


class _StreamOptions(BaseModel):
    include_usage: bool | None = False


class _ChatRequest(BaseModel):
    model: str
    messages: list[_ChatMessage] = Field(min_length=1)
    tools: list[_FunctionHolder] | None = None
    stream: bool | None = False
    stream_options: _StreamOptions | None = None


class OpenAIWire:
    name = "openai"
    request_id_header = "x-request-id"

    def read(self, body: bytes) -> Conversation:
        try:
            request = _ChatRequest.model_validate_json(body)
        except ValidationError as error:
            raise ModelError(Problem(400, f"Invalid request: {error}")) from error
        return Conversation(
            model=request.model,
            messages=[_message(message) for message in request.messages],
            message_count=len(request.messages),
            tools=tuple(tool.function.name for tool in request.tools or ()),
            stream=bool(request.stream),
            stream_usage=bool(request.stream_options and request.stream_options.include_usage),
        )

    def writer(self, conversation: Conversation) -> Writer:
        return _ChatWriter(conversation)

    def error(self, problem: Problem) -> bytes:
        return orjson.dumps({"error": error_object(problem)})


class _ChatWriter:
    def __init__(self, conversation: Conversation) -> None:
        self._stream_usage = conversation.stream_usage
        self._head: dict[str, Any] = {
            "id": f"chatcmpl-{uuid4().hex}",
            "created": int(time.time()),
            "model": conversation.model,
        }
        self._seal = ""
        before, after = self._chunk({"content": "\0"}).split(rb'"\u0000"')
        self._before_text, self._after_text = before, after

    def opening(self, usage: Usage) -> bytes:
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def text(self, piece: str, *, is_refusal: bool) -> bytes:
        if is_refusal:
            return self._chunk({"refusal": piece})
        return self._before_text + dumps(piece) + self._after_text

    def think(self, thoughts: Thoughts) -> bytes:
        """Sealed thoughts come with the next tool call."""
        if thoughts.is_sealed:
            self._seal = seal(thoughts.text)
            return b""
        return b"".join(self._chunk({"reasoning_content": part}) for part in halves(thoughts.text))

    def tool_calls(self, calls: Sequence[ToolCall]) -> bytes:
        return b"".join(self._tool_call(index, call) for index, call in enumerate(calls))

    def closing(self, finish: FinishReason, usage: Usage) -> bytes:
        end = self._chunk({}, _FINISH.get(finish, finish))
        if self._stream_usage:
            end += event(orjson.dumps(self._object("chat.completion.chunk", choices=[], usage=_usage(usage))))
        return end + event(b"[DONE]")

    def error(self, problem: Problem) -> bytes:
        return event(orjson.dumps({"error": error_object(problem)}))

    def whole(
        self,
        thoughts: Sequence[Thoughts],
        text: str,
        calls: Sequence[ToolCall],
        finish: FinishReason,
        usage: Usage,
    ) -> bytes:
        refused = finish == "refusal"
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if refused or (calls and not text) else text,
            "refusal": text if refused else None,
        }
        self._seal = next((seal(each.text) for each in thoughts if each.is_sealed), "")
        message |= _reasoning(thoughts) | self._tool_calls(calls)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _FINISH.get(finish, finish)}
        return dumps(self._object("chat.completion", choices=[choice], usage=_usage(usage)))

    def _tool_call(self, index: int, call: ToolCall) -> bytes:
        first = {"index": index, **_tool_call(ToolCall(call.name, "", call.id)), **self._sealed(index)}
        rest = ({"index": index, "function": {"arguments": part}} for part in halves(call.arguments))
        return b"".join(self._chunk({"tool_calls": [part]}) for part in (first, *rest))

    def _tool_calls(self, calls: Sequence[ToolCall]) -> dict[str, Any]:
        whole = [{**_tool_call(call), **self._sealed(index)} for index, call in enumerate(calls)]
        return {"tool_calls": whole} if whole else {}

    def _sealed(self, index: int) -> dict[str, Any]:
        """The first of an answer's calls has the seal."""
        google = {"thought_signature": self._seal}
        return {"extra_content": {"google": google}} if self._seal and index == 0 else {}

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        more = {"usage": None} if self._stream_usage else {}
        return event(dumps(self._object("chat.completion.chunk", choices=[choice], **more)))

    def _object(self, kind: str, **fields: Any) -> dict[str, Any]:
        return {**self._head, "object": kind, **fields}


def _message(message: _ChatMessage) -> Message:
    calls = tuple(f"{call.function.name} {call.function.arguments}" for call in message.tool_calls or ())
    role = "tool" if message.role == "function" else message.role
    return Message(role, _text(message.content), calls, frozenset(_kinds(message)))


def _kinds(message: _ChatMessage) -> Iterator[Kind]:
    if message.reasoning_content:
        yield "open"
    extras = [call.extra_content for call in message.tool_calls or () if call.extra_content]
    if any(is_seal(extra.google.thought_signature) for extra in extras):
        yield "sealed"


def _text(content: str | list[_Part] | None) -> str:
    if isinstance(content, list):
        return "\n".join(part.text for part in content if part.text)
    return content or ""


def _reasoning(thoughts: Sequence[Thoughts]) -> dict[str, Any]:
    said = "".join(each.text for each in thoughts if not each.is_sealed)
    return {"reasoning_content": said} if said else {}


def _tool_call(call: ToolCall) -> dict[str, Any]:
    return {
        **named("call_", call),
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def error_object(problem: Problem) -> dict[str, Any]:
    usual = "server_error" if problem.status >= _SERVER_ERROR else "invalid_request_error"
    code = problem.code or _ERROR_CODES.get(problem.status)
    return {
        "message": _WORDS[problem.theme] if problem.theme else problem.message,
        "type": "insufficient_quota" if code == "insufficient_quota" else _ERROR_TYPES.get(problem.status, usual),
        "param": "messages" if problem.theme == "too long" else None,
        "code": code,
    }
