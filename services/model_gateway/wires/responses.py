"""The OpenAI wire: responses."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from runtimes.errors import RuntimeFailure
from runtimes.types import Wire
from services.model_gateway.pricing import Tokens
from services.model_gateway.sse import written
from services.model_gateway.wires.canonical import response_body
from services.model_gateway.wires.openai_errors import openai_error
from services.model_gateway.wires.wire import (
    ModelWire,
    Part,
    Recording,
    count,
    items,
    likeness,
    mapping,
    recent,
    tokens_of,
)

#: Events whose `delta` lengthens a text.
_TEXTS = {
    "response.output_text.delta",
    "response.refusal.delta",
    "response.reasoning_text.delta",
    "response.reasoning_summary_text.delta",
    "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
}
_OPENING = {
    "response.created",
    "response.queued",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.reasoning_summary_part.added",
}
_COMPLETE = {"response.completed", "response.incomplete"}
#: With these a tool call is whole.
_CALLED = {"response.function_call_arguments.done", "response.custom_tool_call_input.done"}
_CALLS = {"function_call", "custom_tool_call"}


class ResponsesWire(ModelWire):
    path = "/v1/responses"
    family = Wire.OPENAI
    headers: ClassVar[tuple[str, ...]] = ("openai-beta",)

    def shape(self, body: Mapping[str, Any]) -> Iterator[Any]:
        yield body.get("previous_response_id"), likeness(body.get("instructions") or "")
        said = body.get("input")
        for item in items(said) or [{"role": "user", "content": said}]:
            text = likeness(item.get("content") or item.get("output") or "")
            yield item.get("type"), item.get("role"), item.get("call_id"), item.get("name"), text
        yield [tool.get("name") or tool.get("type") for tool in items(body.get("tools"))]

    def canonical(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return response_body(body)

    def max_output(self, body: Mapping[str, Any]) -> int:
        return count(body.get("max_output_tokens"))

    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        return isinstance(answer.get("output"), list) and answer.get("status") != "failed"

    def is_silent(self, record: Mapping[str, Any]) -> bool:
        ended = [event.get("response") for event in items(record.get("events")) if event["type"] in _COMPLETE]
        response = mapping(next(iter(ended), record.get("body")))
        return response.get("status") == "completed" and not any(map(_says, items(response.get("output"))))

    def has_results(self, body: Mapping[str, Any]) -> bool:
        return any(str(item.get("type")).endswith("_call_output") for item in recent(body.get("input")))

    def tokens(self, answer: Mapping[str, Any]) -> Tokens:
        return tokens_of(mapping(answer.get("usage")), "input", "output")

    def recording(self, body: Mapping[str, Any]) -> Recording:
        return ResponseRecording()

    def stream(self, events: Sequence[Mapping[str, Any]]) -> bytes:
        return b"".join(written(event, event["type"]) for event in events)

    def error(self, failure: RuntimeFailure) -> dict[str, Any]:
        return openai_error(failure)

    def error_event(self, failure: RuntimeFailure) -> bytes:
        error = openai_error(failure)["error"]
        told = {"code": error["code"], "message": error["message"], "param": None, "sequence_number": 0}
        return written({"type": "error", **told, "error": error}, "error")


class ResponseRecording(Recording):
    """Events; a delta that only lengthens its text is joined to the one before it."""

    def __init__(self) -> None:
        super().__init__()
        self._is_ending = False

    def error(self, event: dict[str, Any]) -> Any:
        if event.get("type") == "response.failed":
            return event.get("response") or event
        return event if event.get("type") == "error" or event.get("error") else None

    def add(self, event: dict[str, Any]) -> Part:
        event.pop("obfuscation", None)
        kind = event.get("type")
        if kind in _COMPLETE:
            self._complete(mapping(event.get("response")))
        if not (self.events and _join(self.events[-1], event)):
            self.events.append(event)
        self._is_ending |= self.is_complete or kind in _CALLED or _is_called(event)
        if self._is_ending:
            return Part.ENDING
        return Part.OPENING if kind in _OPENING else Part.CONTENT

    def _complete(self, response: Mapping[str, Any]) -> None:
        self.model = response.get("model") or ""
        self.tokens = tokens_of(mapping(response.get("usage")), "input", "output")
        self.is_complete = self.is_over = True


def _says(item: Mapping[str, Any]) -> bool:
    """Whether a part of the output is a message with a word in it, or something else that is no thought."""
    if item.get("type") != "message":
        return item.get("type") != "reasoning"
    return any(part.get("text") or part.get("refusal") for part in items(item.get("content")))


def _is_called(event: Mapping[str, Any]) -> bool:
    is_done = event.get("type") == "response.output_item.done"
    return is_done and mapping(event.get("item")).get("type") in _CALLS


def _join(last: dict[str, Any], event: dict[str, Any]) -> bool:
    """Add an event's text to the last one, if there is nothing else to it."""
    if event.get("type") not in _TEXTS or event.get("logprobs"):
        return False
    own = {"delta": "", "sequence_number": 0}
    if {**last, **own} != {**event, **own}:
        return False
    last["delta"] += event["delta"]
    return True
