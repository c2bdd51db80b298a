"""The OpenAI wire's other half: responses."""

import time
from collections.abc import Sequence
from typing import Any, Literal
from uuid import uuid4

import orjson
from pydantic import BaseModel, ValidationError

from services.scripted_model.actions import FinishReason, Thoughts, ToolCall, Usage
from services.scripted_model.conversation import Conversation, Message
from services.scripted_model.errors import ModelError, Problem
from services.scripted_model.openai_wire import error_object
from services.scripted_model.thoughts import Kind, is_seal, seal
from services.scripted_model.wire import Writer, dumps, event, halves, named

_INCOMPLETE: dict[FinishReason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
_LOST = "Item of type 'function_call' was provided without its required 'reasoning' item."
_STATELESS = "The scripted model keeps no responses: send the whole conversation as input."


class _Part(BaseModel):
    text: str | None = None


class _Item(BaseModel):
    type: str = "message"
    role: Literal["system", "developer", "user", "assistant"] = "user"
    content: str | list[_Part] | None = None
    name: str = ""
    arguments: str = ""
    output: str | list[_Part] | None = None
    encrypted_content: str | None = None
    summary: list[_Part] | None = None


class _Tool(BaseModel):
    name: str = ""


class _ResponsesRequest(BaseModel):
    model: str
    input: str | list[_Item]
    instructions: str | None = None
    tools: list[_Tool] | None = None
    stream: bool | None = False
    previous_response_id: str | None = None


class ResponsesWire:
    name = "openai"
    request_id_header = "x-request-id"

    def read(self, body: bytes) -> Conversation:
        try:
            request = _ResponsesRequest.model_validate_json(body)
        except ValidationError as error:
            raise ModelError(Problem(400, f"Invalid request: {error}")) from error
        if request.previous_response_id is not None:
            raise ModelError(Problem(400, _STATELESS))
        items = [_Item(content=request.input)] if isinstance(request.input, str) else request.input
        if not items:
            raise ModelError(Problem(400, "Invalid request: input is empty."))
        return Conversation(
            model=request.model,
            messages=_messages(request.instructions, items),
            message_count=len(items),
            tools=tuple(tool.name for tool in request.tools or ()),
            stream=bool(request.stream),
        )

    def writer(self, conversation: Conversation) -> Writer:
        return _ResponseWriter(conversation)

    def error(self, problem: Problem) -> bytes:
        return orjson.dumps({"error": _error(problem)})


class _ResponseWriter:
    def __init__(self, conversation: Conversation) -> None:
        self._head: dict[str, Any] = {
            "id": f"resp_{uuid4().hex}",
            "object": "response",
            "created_at": int(time.time()),
            "model": conversation.model,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }
        self._events = 0
        self._output: list[dict[str, Any]] = []
        self._said: list[str] = []
        self._message: dict[str, Any] | None = None

    def opening(self, usage: Usage) -> bytes:
        response = self._response("in_progress")
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def text(self, piece: str, *, is_refusal: bool) -> bytes:
        kind = "refusal" if is_refusal else "output_text"
        opened = b"" if self._message else self._start_message(kind)
        self._said.append(piece)
        more: dict[str, Any] = {} if is_refusal else {"logprobs": []}
        return opened + self._part_event(f"response.{kind}.delta", delta=piece, **more)

    def think(self, thoughts: Thoughts) -> bytes:
        ended = self._end_message()
        item = _reasoning(thoughts)
        added: dict[str, Any] = {**item, "summary": [], "encrypted_content": ""}
        place = {"item_id": item["id"], "output_index": len(self._output), "summary_index": 0}
        events = [self._event("response.output_item.added", output_index=len(self._output), item=added)]
        for part in item["summary"]:
            empty = {**part, "text": ""}
            events.append(self._event("response.reasoning_summary_part.added", **place, part=empty))
            for piece in halves(part["text"]):
                events.append(self._event("response.reasoning_summary_text.delta", **place, delta=piece))
            events.append(self._event("response.reasoning_summary_text.done", **place, text=part["text"]))
            events.append(self._event("response.reasoning_summary_part.done", **place, part=part))
        return b"".join((ended, *events, self._item_done(item)))

    def tool_calls(self, calls: Sequence[ToolCall]) -> bytes:
        return self._end_message() + b"".join(self._tool_call(call) for call in calls)

    def closing(self, finish: FinishReason, usage: Usage) -> bytes:
        end = self._end_message()
        response = self._ended(finish, usage)
        return end + self._event(f"response.{response['status']}", response=response)

    def error(self, problem: Problem) -> bytes:
        found = _error(problem)
        failure = {"code": found["code"] or "server_error", "message": found["message"]}
        failed = self._response("failed", error=failure)
        return self._event("error", **failure, param=found["param"]) + self._event("response.failed", response=failed)

    def whole(
        self,
        thoughts: Sequence[Thoughts],
        text: str,
        calls: Sequence[ToolCall],
        finish: FinishReason,
        usage: Usage,
    ) -> bytes:
        self._output += map(_reasoning, thoughts)
        if text:
            self._output.append(_message("refusal" if finish == "refusal" else "output_text", text))
        self._output += [_function_call(call, "completed") for call in calls]
        return dumps(self._ended(finish, usage))

    def _start_message(self, kind: str) -> bytes:
        self._message = _message(kind, "")
        added: dict[str, Any] = {**self._message, "status": "in_progress", "content": []}
        item = self._event("response.output_item.added", output_index=len(self._output), item=added)
        return item + self._part_event("response.content_part.added", part=self._message["content"][0])

    def _end_message(self) -> bytes:
        if self._message is None:
            return b""
        [part] = self._message["content"]
        kind, field = part["type"], "refusal" if part["type"] == "refusal" else "text"
        part[field] = "".join(self._said)
        more: dict[str, Any] = {} if kind == "refusal" else {"logprobs": []}
        done = self._part_event(f"response.{kind}.done", **{field: part[field]}, **more)
        done += self._part_event("response.content_part.done", part=part)
        done += self._item_done(self._message)
        self._message, self._said = None, []
        return done

    def _tool_call(self, call: ToolCall) -> bytes:
        item = _function_call(call, "completed")
        place = {"item_id": item["id"], "output_index": len(self._output)}
        added: dict[str, Any] = {**item, "arguments": "", "status": "in_progress"}
        events = [self._event("response.output_item.added", output_index=len(self._output), item=added)]
        for part in halves(call.arguments):
            events.append(self._event("response.function_call_arguments.delta", **place, delta=part))
        events.append(
            self._event("response.function_call_arguments.done", **place, name=call.name, arguments=call.arguments)
        )
        return b"".join((*events, self._item_done(item)))

    def _item_done(self, item: dict[str, Any]) -> bytes:
        self._output.append(item)
        return self._event("response.output_item.done", output_index=len(self._output) - 1, item=item)

    def _part_event(self, kind: str, **fields: Any) -> bytes:
        message = self._message or {}
        return self._event(kind, item_id=message["id"], output_index=len(self._output), content_index=0, **fields)

    def _event(self, kind: str, **fields: Any) -> bytes:
        self._events += 1
        return event(dumps({"type": kind, "sequence_number": self._events - 1, **fields}), kind.encode())

    def _ended(self, finish: FinishReason, usage: Usage) -> dict[str, Any]:
        if reason := _INCOMPLETE.get(finish):
            return self._response("incomplete", incomplete_details={"reason": reason}, usage=_usage(usage))
        return self._response("completed", usage=_usage(usage))

    def _response(self, status: str, **fields: Any) -> dict[str, Any]:
        """The response as it stands now."""
        empty: dict[str, Any] = {
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "usage": None,
        }
        return {**self._head, "status": status, "output": list(self._output), **empty, **fields}


def _messages(instructions: str | None, items: Sequence[_Item]) -> list[Message]:
    """Calls that follow each other, or the assistant's text, are one message, as they are on the other wires."""
    messages = [Message("system", instructions)] if instructions else []
    thoughts: frozenset[Kind] = frozenset()
    for item in items:
        if item.type == "reasoning":
            thoughts |= _kinds(item)
        elif item.type == "function_call":
            messages.append(_calling(item, messages, thoughts))
            thoughts = frozenset()
        elif item.type == "function_call_output":
            messages.append(Message("tool", _text(item.output)))
        elif item.type == "message":
            messages.append(Message(item.role, _text(item.content)))
    return messages


def _calling(item: _Item, messages: list[Message], thoughts: frozenset[Kind]) -> Message:
    """The last message with a further call, where the assistant said it."""
    is_same = bool(messages) and messages[-1].role == "assistant"
    last = messages.pop() if is_same else Message("assistant", "")
    calls = (*last.calls, f"{item.name} {item.arguments}")
    return Message("assistant", last.text, calls, last.thoughts | thoughts)


def _kinds(item: _Item) -> frozenset[Kind]:
    """Without its summary a reasoning item is sealed thoughts."""
    if not is_seal(item.encrypted_content or ""):
        return frozenset()
    return frozenset({"open" if item.summary else "sealed"})


def _text(content: str | list[_Part] | None) -> str:
    if isinstance(content, list):
        return "\n".join(part.text for part in content if part.text)
    return content or ""


def _message(kind: str, text: str) -> dict[str, Any]:
    refusal: dict[str, Any] = {"type": kind, "refusal": text}
    output: dict[str, Any] = {"type": kind, "text": text, "annotations": []}
    return {
        "type": "message",
        "id": f"msg_{uuid4().hex}",
        "role": "assistant",
        "status": "completed",
        "content": [refusal if kind == "refusal" else output],
    }


def _reasoning(thoughts: Thoughts) -> dict[str, Any]:
    summary = [] if thoughts.is_sealed else [{"type": "summary_text", "text": thoughts.text}]
    item: dict[str, Any] = {"type": "reasoning", "id": f"rs_{uuid4().hex}", "summary": summary}
    return {**item, "encrypted_content": seal(thoughts.text)}


def _error(problem: Problem) -> dict[str, Any]:
    found = error_object(problem)
    return {**found, "message": _LOST, "param": "input"} if problem.theme in {"thoughts", "seal"} else found


def _function_call(call: ToolCall, status: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{call.id}",
        **named("call_", call, "call_id"),
        "name": call.name,
        "arguments": call.arguments,
        "status": status,
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
