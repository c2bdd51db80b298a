"""The OpenAI wire: responses."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from runtimes.errors import RuntimeFailure
from runtimes.types import Wire
from services.model_gateway.pricing import Tokens
from services.model_gateway.sse import written
from services.model_gateway.wires.canonical import response_body
from services.model_gateway.wires.mending import CallIds, Mender, written_arguments
from services.model_gateway.wires.openai_errors import openai_error
from services.model_gateway.wires.response_mending import ResponseMender
from services.model_gateway.wires.wire import (
    LONGEST_JOINED,
    AnsweredCall,
    ModelWire,
    Part,
    Recording,
    count,
    items,
    kind_of,
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
        ended = [event.get("response") for event in items(record.get("events")) if kind_of(event) in _COMPLETE]
        response = mapping(next(iter(ended), record.get("body")))
        return response.get("status") == "completed" and not any(map(_says, items(response.get("output"))))

    def is_thought(self, record: Mapping[str, Any]) -> bool:
        return any(kind_of(item) == "reasoning" for item in _output(record))

    def has_results(self, body: Mapping[str, Any]) -> bool:
        return any(kind_of(item).endswith("_call_output") for item in recent(body.get("input")))

    def tokens(self, answer: Mapping[str, Any]) -> Tokens:
        return tokens_of(mapping(answer.get("usage")), "input", "output")

    def called(self, record: Mapping[str, Any]) -> list[AnsweredCall]:
        return [_call(item) for item in _output(record) if kind_of(item) in _CALLS]

    def mender(self, body: Mapping[str, Any], seed: str, after: int = 0) -> Mender:
        said = items(body.get("input"))
        return ResponseMender(CallIds("call_", seed, lambda: (item.get("call_id") for item in said if _asks(item))))

    def recording(self, body: Mapping[str, Any]) -> Recording:
        return ResponseRecording()

    def streamed(self, body: dict[str, Any], after: int = 0) -> list[dict[str, Any]]:
        begun: dict[str, Any] = {**body, "output": [], "status": "in_progress"}
        whole = "response.incomplete" if body.get("status") == "incomplete" else "response.completed"
        items_of = enumerate(items(body.get("output")))
        told = [event for at, item in items_of for event in _told(at, item)]
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": begun},
            *told,
            {"type": whole, "response": body},
        ]
        return [{**event, "sequence_number": number} for number, event in enumerate(events)]

    def stream(self, events: Sequence[Mapping[str, Any]]) -> bytes:
        return b"".join(written(event, kind_of(event)) for event in events)

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
        if kind_of(event) == "response.failed":
            return event.get("response") or event
        return event if kind_of(event) == "error" or event.get("error") else None

    def add(self, event: dict[str, Any]) -> Part:
        event.pop("obfuscation", None)
        kind = kind_of(event)
        if kind in _COMPLETE:
            self._complete(mapping(event.get("response")))
        if not (self.events and _join(self.events[-1], event)):
            self.events.append(event)
        self._is_ending |= self.is_complete or kind in _CALLED or _is_called(event)
        if self._is_ending:
            return Part.ENDING
        return Part.OPENING if kind in _OPENING else Part.CONTENT

    def _complete(self, response: Mapping[str, Any]) -> None:
        self.model = str(response.get("model") or "")
        self.tokens = tokens_of(mapping(response.get("usage")), "input", "output")
        self.is_complete = self.is_over = True


def _says(item: Mapping[str, Any]) -> bool:
    """Whether a part of the output is a message with a word in it, or something else that is no thought."""
    if kind_of(item) != "message":
        return kind_of(item) != "reasoning"
    return any(part.get("text") or part.get("refusal") for part in items(item.get("content")))


def _output(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    answers = [record.get("body"), *(event.get("response") for event in items(record.get("events")))]
    outputs = (found for answer in answers if (found := items(mapping(answer).get("output"))))
    return next(outputs, list[dict[str, Any]]())


def _told(at: int, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """An item of an output that came whole, its text in deltas."""
    place = {"output_index": at, "item_id": item.get("id")}
    parts = items(item.get("content")) if kind_of(item) == "message" else []
    empty: dict[str, Any] = {**item, "content": []} if parts else item
    yield {"type": "response.output_item.added", "output_index": at, "item": empty}
    for number, part in enumerate(parts):
        if isinstance(text := part.get("text"), str):
            yield {"type": "response.output_text.delta", **place, "content_index": number, "delta": text}
    yield {"type": "response.output_item.done", "output_index": at, "item": item}


def _call(item: Mapping[str, Any]) -> AnsweredCall:
    arguments = written_arguments(item.get("arguments", item.get("input")))
    return AnsweredCall(str(item.get("call_id")), str(item.get("name")), arguments)


def _asks(item: Mapping[str, Any]) -> bool:
    return kind_of(item) in _CALLS


def _is_called(event: Mapping[str, Any]) -> bool:
    is_done = kind_of(event) == "response.output_item.done"
    return is_done and kind_of(mapping(event.get("item"))) in _CALLS


def _join(last: dict[str, Any], event: dict[str, Any]) -> bool:
    """Add an event's text to the last one, if there is nothing else to it."""
    if kind_of(event) not in _TEXTS or event.get("logprobs"):
        return False
    own = {"delta": "", "sequence_number": 0}
    if not isinstance(last.get("delta"), str) or not isinstance(event.get("delta"), str):
        return False
    if len(last["delta"]) > LONGEST_JOINED or {**last, **own} != {**event, **own}:
        return False
    last["delta"] += event["delta"]
    return True
