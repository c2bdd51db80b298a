"""The Anthropic wire: messages."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal
from uuid import uuid4

import orjson
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import to_json

from services.scripted_model.actions import FinishReason, Thoughts, ToolCall, Usage
from services.scripted_model.conversation import Conversation, Message
from services.scripted_model.errors import ModelError, Problem, Theme
from services.scripted_model.thoughts import Kind, is_seal, seal, signature
from services.scripted_model.wire import Writer, dumps, event, halves, named

_STOP_REASONS: Mapping[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "content_filter": "refusal",
    "refusal": "refusal",
    "tool_calls": "tool_use",
}
_ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_SERVER_ERROR = 500
_LOST = (
    "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` is"
    " enabled, a final `assistant` message must start with a thinking block (preceding the lastmost set of `tool_use`"
    " and `tool_result` blocks)."
)
_WORDS: Mapping[Theme, str] = {
    "too long": "prompt is too long: 210000 tokens > 200000 maximum",
    "thoughts": _LOST,
    "seal": _LOST,
}


class _Block(BaseModel):
    type: str = "text"
    text: str | None = None
    name: str = ""
    input: Any = None
    content: "str | list[_Block] | dict[str, Any] | None" = None
    thinking: str = ""
    signature: str = ""
    data: str = ""


class _TurnMessage(BaseModel):
    role: Literal["user", "assistant", "system"]
    content: str | list[_Block]


class _Tool(BaseModel):
    name: str = ""


class _MessagesRequest(BaseModel):
    model: str
    messages: list[_TurnMessage] = Field(min_length=1)
    system: str | list[_Block] | None = None
    tools: list[_Tool] | None = None
    stream: bool | None = False


class AnthropicWire:
    name = "anthropic"
    request_id_header = "request-id"

    def read(self, body: bytes) -> Conversation:
        try:
            request = _MessagesRequest.model_validate_json(body)
        except ValidationError as error:
            raise ModelError(Problem(400, f"Invalid request: {error}")) from error
        system = [Message("system", _text(request.system))] if request.system else []
        return Conversation(
            model=request.model,
            messages=[*system, *(part for message in request.messages for part in _messages(message))],
            message_count=len(request.messages),
            tools=tuple(tool.name for tool in request.tools or ()),
            stream=bool(request.stream),
        )

    def writer(self, conversation: Conversation) -> Writer:
        return _MessageWriter(conversation)

    def error(self, problem: Problem) -> bytes:
        return orjson.dumps(_error(problem))


class _MessageWriter:
    def __init__(self, conversation: Conversation) -> None:
        self._blocks = 0
        self._text_is_open = False
        self._head: dict[str, Any] = {
            "id": f"msg_{uuid4().hex}",
            "type": "message",
            "role": "assistant",
            "model": conversation.model,
        }

    def opening(self, usage: Usage) -> bytes:
        message: dict[str, Any] = {
            **self._head,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(replace(usage, output=1, reasoning=0)),
        }
        return _event("message_start", message=message) + _event("ping")

    def text(self, piece: str, *, is_refusal: bool) -> bytes:
        opened = b"" if self._text_is_open else self._start({"type": "text", "text": ""})
        self._text_is_open = True
        return opened + self._delta({"type": "text_delta", "text": piece})

    def think(self, thoughts: Thoughts) -> bytes:
        if thoughts.is_sealed:
            return b"".join((self._stop_text(), self._start(_thoughts(thoughts)), self._stop()))
        empty = {"type": "thinking", "thinking": "", "signature": ""}
        pieces = [self._delta({"type": "thinking_delta", "thinking": part}) for part in halves(thoughts.text)]
        signed = self._delta({"type": "signature_delta", "signature": signature(thoughts.text)})
        return b"".join((self._stop_text(), self._start(empty), *pieces, signed, self._stop()))

    def tool_calls(self, calls: Sequence[ToolCall]) -> bytes:
        return b"".join((self._stop_text(), *map(self._tool_call, calls)))

    def closing(self, finish: FinishReason, usage: Usage) -> bytes:
        delta = {"stop_reason": _STOP_REASONS[finish], "stop_sequence": None}
        end = _event("message_delta", delta=delta, usage=_usage(usage))
        return self._stop_text() + end + _event("message_stop")

    def error(self, problem: Problem) -> bytes:
        return event(orjson.dumps(_error(problem)), b"error")

    def whole(
        self,
        thoughts: Sequence[Thoughts],
        text: str,
        calls: Sequence[ToolCall],
        finish: FinishReason,
        usage: Usage,
    ) -> bytes:
        said = [*map(_thoughts, thoughts), *([{"type": "text", "text": text}] if text else [])]
        message = {
            **self._head,
            "content": [*said, *({**_tool_use(call), "input": _input(call.arguments)} for call in calls)],
            "stop_reason": _STOP_REASONS[finish],
            "stop_sequence": None,
            "usage": _usage(usage),
        }
        return dumps(message)

    def _start(self, block: dict[str, Any]) -> bytes:
        return _event("content_block_start", index=self._blocks, content_block=block)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", index=self._blocks, delta=delta)

    def _stop(self) -> bytes:
        self._blocks += 1
        return _event("content_block_stop", index=self._blocks - 1)

    def _stop_text(self) -> bytes:
        if not self._text_is_open:
            return b""
        self._text_is_open = False
        return self._stop()

    def _tool_call(self, call: ToolCall) -> bytes:
        parts = (self._delta({"type": "input_json_delta", "partial_json": part}) for part in halves(call.arguments))
        return b"".join((self._start({**_tool_use(call), "input": {}}), *parts, self._stop()))


def _messages(message: _TurnMessage) -> Iterator[Message]:
    """Tool results become messages of their own, as they are on the other wire."""
    blocks = [_Block(text=message.content)] if isinstance(message.content, str) else message.content
    results = [Message("tool", _result(block)) for block in blocks if block.type == "tool_result"]
    yield from results
    rest = Message(message.role, _text(blocks), _calls(blocks), _kinds(blocks))
    if rest.text or rest.calls or not results:
        yield rest


def _calls(blocks: Sequence[_Block]) -> tuple[str, ...]:
    return tuple(f"{block.name} {to_json(block.input).decode()}" for block in blocks if block.type == "tool_use")


def _kinds(blocks: Sequence[_Block]) -> frozenset[Kind]:
    """The thoughts with which a message begins; none counts if one of them is not as it was given."""
    thoughts = [block for block in blocks if block.type in {"thinking", "redacted_thinking"}]
    if not thoughts or blocks[0] is not thoughts[0] or not all(map(_is_ours, thoughts)):
        return frozenset()
    return frozenset("open" if block.type == "thinking" else "sealed" for block in thoughts)


def _is_ours(block: _Block) -> bool:
    return block.signature == signature(block.thinking) if block.type == "thinking" else is_seal(block.data)


def _thoughts(thoughts: Thoughts) -> dict[str, Any]:
    if thoughts.is_sealed:
        return {"type": "redacted_thinking", "data": seal(thoughts.text)}
    return {"type": "thinking", "thinking": thoughts.text, "signature": signature(thoughts.text)}


def _result(block: _Block) -> str:
    return "" if block.content is None or isinstance(block.content, dict) else _text(block.content)


def _text(content: str | list[_Block] | None) -> str:
    if isinstance(content, list):
        return "\n".join(block.text for block in content if block.text)
    return content or ""


def _tool_use(call: ToolCall) -> dict[str, Any]:
    return {"type": "tool_use", **named("toolu_", call), "name": call.name}


def _input(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _usage(usage: Usage) -> dict[str, Any]:
    """This wire counts cached tokens apart from the input."""
    return {
        "input_tokens": usage.input - usage.cached,
        "output_tokens": usage.output,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }


def _error(problem: Problem) -> dict[str, Any]:
    usual = "api_error" if problem.status >= _SERVER_ERROR else "invalid_request_error"
    message = _WORDS[problem.theme] if problem.theme else problem.message
    kind = _ERROR_TYPES.get(problem.status, usual)
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": None}


def _event(kind: str, **fields: Any) -> bytes:
    return event(dumps({"type": kind, **fields}), kind.encode())
