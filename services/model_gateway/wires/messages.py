"""The Anthropic wire: messages."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from runtimes.errors import (
    BudgetExceeded,
    LimitReached,
    ModelAuthentication,
    ModelNotFound,
    ModelOverloaded,
    ModelQuotaExhausted,
    ModelRateLimited,
    ModelTimeout,
    RuntimeFailure,
)
from runtimes.types import Wire
from services.model_gateway.pricing import Tokens
from services.model_gateway.sse import written
from services.model_gateway.wires.canonical import messages_body
from services.model_gateway.wires.mending import CallIds, Mender
from services.model_gateway.wires.message_blocks import (
    ENDS,
    answered_calls,
    blocks_of,
    continued_message,
    events_of,
    joined_messages,
    restored_messages,
)
from services.model_gateway.wires.message_mending import TEXTS, MessageMender
from services.model_gateway.wires.wire import (
    LONGEST_JOINED,
    AnsweredCall,
    Answers,
    ModelWire,
    Part,
    Recording,
    count,
    items,
    kind_of,
    likeness,
    mapping,
    recent,
    status,
    word,
)

#: Types of failures that have their own.
_TYPES: Mapping[type[RuntimeFailure], str] = {
    ModelRateLimited: "rate_limit_error",
    ModelOverloaded: "overloaded_error",
    ModelAuthentication: "authentication_error",
    ModelQuotaExhausted: "billing_error",
    ModelNotFound: "not_found_error",
    ModelTimeout: "timeout_error",
    BudgetExceeded: "permission_error",
    LimitReached: "permission_error",
}
#: Why a model stops that was not made to.
_BY_ITSELF = {"end_turn", "stop_sequence"}
_THOUGHTS = {"thinking", "redacted_thinking", "thinking_delta", "signature_delta"}
#: The wire's own status.
_OVERLOADED = 529
_OPENING = {"message_start", "content_block_start", "ping"}


class MessagesWire(ModelWire):
    path = "/v1/messages"
    family = Wire.ANTHROPIC
    ends = ENDS
    headers: ClassVar[tuple[str, ...]] = ("anthropic-version", "anthropic-beta")

    def shape(self, body: Mapping[str, Any]) -> Iterator[Any]:
        yield likeness(body.get("system") or "")
        for message in items(body.get("messages")):
            content = message.get("content")
            blocks = items(content) or [{"type": "text", "text": content}]
            yield message.get("role"), [_block(block) for block in blocks]
        yield [tool.get("name") for tool in items(body.get("tools"))]

    def canonical(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return messages_body(body)

    def restored(self, body: Mapping[str, Any], answers: Answers) -> Mapping[str, Any]:
        return restored_messages(body, answers)

    def max_output(self, body: Mapping[str, Any]) -> int:
        return count(body.get("max_tokens"))

    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        return isinstance(answer.get("content"), list)

    def is_silent(self, record: Mapping[str, Any]) -> bool:
        body = mapping(record.get("body"))
        pieces = [*items(body.get("content")), *map(_piece, items(record.get("events")))]
        ends = {_end(told) for told in (body, *items(record.get("events")))} - {""}
        return bool(ends) and ends <= _BY_ITSELF and not any(map(_says, pieces))

    def is_thought(self, record: Mapping[str, Any]) -> bool:
        return any(kind_of(block) in {"thinking", "redacted_thinking"} for block in blocks_of(record))

    def is_paused(self, record: Mapping[str, Any]) -> bool:
        ends = (_end(told) for told in (mapping(record.get("body")), *items(record.get("events"))))
        return "pause_turn" in ends

    def continued(self, body: Mapping[str, Any], record: Mapping[str, Any], after: int) -> tuple[dict[str, Any], int]:
        return continued_message(body, record, after)

    def joined(self, records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        return joined_messages(records)

    def has_results(self, body: Mapping[str, Any]) -> bool:
        blocks = (block for message in recent(body.get("messages")) for block in items(message.get("content")))
        return any(kind_of(block) == "tool_result" for block in blocks)

    def tokens(self, answer: Mapping[str, Any]) -> Tokens:
        return message_tokens(mapping(answer.get("usage")))

    def called(self, record: Mapping[str, Any]) -> list[AnsweredCall]:
        return answered_calls(record)

    def mender(self, body: Mapping[str, Any], seed: str, after: int = 0) -> Mender:
        blocks = (block for message in items(body.get("messages")) for block in items(message.get("content")))
        return MessageMender(CallIds("toolu_", seed, lambda: (block.get("id") for block in blocks)), after)

    def recording(self, body: Mapping[str, Any]) -> Recording:
        return MessageRecording()

    def streamed(self, body: dict[str, Any], after: int = 0) -> list[dict[str, Any]]:
        return events_of(body, after)

    def stream(self, events: Sequence[Mapping[str, Any]]) -> bytes:
        return b"".join(written(event, kind_of(event)) for event in events)

    def error(self, failure: RuntimeFailure) -> dict[str, Any]:
        usual = "api_error" if status(failure) >= 500 else "invalid_request_error"
        kind = next((found for of, found in _TYPES.items() if isinstance(failure, of)), usual)
        return {"type": "error", "error": {"type": kind, "message": failure.message}}

    def status(self, failure: RuntimeFailure) -> int:
        return _OVERLOADED if isinstance(failure, ModelOverloaded) else status(failure)


class MessageRecording(Recording):
    """Events; a delta that only lengthens its block is joined to the one before it."""

    def __init__(self) -> None:
        super().__init__()
        self._usage: dict[str, Any] = {}
        self._block = ""
        self._is_ending = False

    def error(self, event: dict[str, Any]) -> Any:
        return event if kind_of(event) == "error" or "error" in event else None

    def add(self, event: dict[str, Any]) -> Part:
        kind = kind_of(event)
        if kind == "ping":
            return Part.ENDING if self._is_ending else Part.OPENING
        self._look(kind, event)
        if not (self.events and _join(self.events[-1], event)):
            self.events.append(event)
        if self._is_ending:
            return Part.ENDING
        return Part.OPENING if kind in _OPENING else Part.CONTENT

    def _look(self, kind: Any, event: Mapping[str, Any]) -> None:
        """A tool call that is whole could be acted upon: it belongs to the end."""
        if kind == "message_start":
            message = mapping(event.get("message"))
            self.model = str(message.get("model") or "")
            self._count(message)
        elif kind == "content_block_start":
            self._block = kind_of(mapping(event.get("content_block")))
        elif kind == "content_block_stop":
            self._is_ending |= self._block == "tool_use"
        elif kind == "message_delta":
            self._count(event)
            self._is_ending = True
            self.is_complete |= bool(_end(event))
        elif kind == "message_stop":
            self.is_complete = self.is_over = True

    def _count(self, told: Mapping[str, Any]) -> None:
        self._usage |= {name: value for name, value in mapping(told.get("usage")).items() if value is not None}
        self.tokens = message_tokens(self._usage)


def message_tokens(usage: Mapping[str, Any]) -> Tokens:
    """The wire's usage; it counts cached tokens apart from the input."""
    cached, written_ = count(usage.get("cache_read_input_tokens")), count(usage.get("cache_creation_input_tokens"))
    return Tokens(
        input=count(usage.get("input_tokens")) + cached + written_,
        output=count(usage.get("output_tokens")),
        cached=cached,
        cache_written=written_,
        cache_written_for_hour=count(mapping(usage.get("cache_creation")).get("ephemeral_1h_input_tokens")),
        reasoning=count(mapping(usage.get("output_tokens_details")).get("thinking_tokens")),
    )


def _join(last: dict[str, Any], event: dict[str, Any]) -> bool:
    """Add an event's text to the last one, if there is nothing else to it."""
    if kind_of(last) != "content_block_delta":
        return False
    mine, its = mapping(last.get("delta")), mapping(event.get("delta"))
    name = TEXTS.get(kind_of(mine))
    if name is None or not isinstance(mine.get(name), str) or not isinstance(its.get(name), str):
        return False
    is_same = {**last, "delta": {**mine, name: ""}} == {**event, "delta": {**its, name: ""}}
    if len(mine[name]) > LONGEST_JOINED or not is_same:
        return False
    mine[name] += its[name]
    return True


def _piece(event: Mapping[str, Any]) -> dict[str, Any]:
    """The block that an event begins, or the delta that lengthens it."""
    is_delta = kind_of(event) == "content_block_delta"
    return mapping(event.get("delta") if is_delta else event.get("content_block"))


def _end(told: Mapping[str, Any]) -> str:
    return word(told.get("stop_reason")) or word(mapping(told.get("delta")).get("stop_reason"))


def _says(piece: Mapping[str, Any]) -> bool:
    """Whether it has a text that is not empty, or is a call or something else that is no thought."""
    kind = kind_of(piece)
    return bool(piece.get("text")) if kind in {"text", "text_delta"} else bool(kind) and kind not in _THOUGHTS


def _block(block: Mapping[str, Any]) -> tuple[Any, ...]:
    text = block.get("text") or block.get("content") or ""
    return block.get("type"), block.get("id") or block.get("tool_use_id"), block.get("name"), likeness(text)
