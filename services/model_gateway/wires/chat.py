"""The OpenAI wire: chat completions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from runtimes.errors import RuntimeFailure
from runtimes.types import Wire
from services.model_gateway.pricing import Tokens
from services.model_gateway.sse import DONE, written
from services.model_gateway.wires.canonical import chat_body
from services.model_gateway.wires.chat_mending import FAILED_FINISHES, ChatMender
from services.model_gateway.wires.chat_messages import answered_call, chunks_of, message_of, restored_chat
from services.model_gateway.wires.mending import CallIds, Mender
from services.model_gateway.wires.openai_errors import openai_error
from services.model_gateway.wires.wire import (
    LONGEST_JOINED,
    AnsweredCall,
    Answers,
    ModelWire,
    Part,
    Recording,
    count,
    items,
    likeness,
    mapping,
    recent,
    tokens_of,
    word,
)

#: Texts that come in pieces; what else a delta may carry is kept as it came.
_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
#: What an answer says or asks for.
_SAID = ("content", "refusal", "tool_calls", "function_call", "audio")
_THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details")
#: A delta and the name of its text.
_Text = tuple[dict[str, Any], str]
_NO_TEXT: _Text = ({}, "")
#: Padding against listeners on the network.
_PADDING = "obfuscation"


class ChatWire(ModelWire):
    path = "/v1/chat/completions"
    family = Wire.OPENAI
    headers: ClassVar[tuple[str, ...]] = ("openai-beta",)

    def shape(self, body: Mapping[str, Any]) -> Iterator[Any]:
        for message in items(body.get("messages")):
            calls = [(call.get("id"), _function(call).get("name")) for call in items(message.get("tool_calls"))]
            yield message.get("role"), message.get("tool_call_id"), calls, likeness(message.get("content") or "")
        yield [_function(tool).get("name") for tool in items(body.get("tools"))]

    def canonical(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return chat_body(body)

    def max_output(self, body: Mapping[str, Any]) -> int:
        return count(body.get("max_completion_tokens") or body.get("max_tokens"))

    def prepared(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        if not body.get("stream") or _wants_usage(body):
            return body
        return {**body, "stream_options": {**mapping(body.get("stream_options")), "include_usage": True}}

    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        return bool(items(answer.get("choices")))

    def is_silent(self, record: Mapping[str, Any]) -> bool:
        answers = items(record.get("events")) or [mapping(record.get("body"))]
        choices = [choice for answer in answers for choice in items(answer.get("choices"))]
        ends = {word(choice.get("finish_reason")) for choice in choices} - {""}
        return ends == {"stop"} and not any(map(_says, choices))

    def is_thought(self, record: Mapping[str, Any]) -> bool:
        answers = items(record.get("events")) or [mapping(record.get("body"))]
        return any(map(_thinks, (choice for answer in answers for choice in items(answer.get("choices")))))

    def has_results(self, body: Mapping[str, Any]) -> bool:
        return any(message.get("role") in {"tool", "function"} for message in recent(body.get("messages")))

    def tokens(self, answer: Mapping[str, Any]) -> Tokens:
        return tokens_of(mapping(answer.get("usage")), "prompt", "completion")

    def restored(self, body: Mapping[str, Any], answers: Answers) -> Mapping[str, Any]:
        return restored_chat(body, answers)

    def called(self, record: Mapping[str, Any]) -> list[AnsweredCall]:
        return [answered_call(call) for call in message_of(record).get("tool_calls", ())]

    def mender(self, body: Mapping[str, Any], seed: str, after: int = 0) -> Mender:
        calls = (call for message in items(body.get("messages")) for call in items(message.get("tool_calls")))
        return ChatMender(CallIds("call_", seed, lambda: (call.get("id") for call in calls)))

    def recording(self, body: Mapping[str, Any]) -> Recording:
        return ChatRecording(wants_usage=_wants_usage(body))

    def streamed(self, body: dict[str, Any], after: int = 0) -> list[dict[str, Any]]:
        return chunks_of(body)

    def stream(self, events: Sequence[Mapping[str, Any]]) -> bytes:
        return b"".join((*map(written, events), b"data: %b\n\n" % DONE))

    def error(self, failure: RuntimeFailure) -> dict[str, Any]:
        return openai_error(failure)

    def error_event(self, failure: RuntimeFailure) -> bytes:
        return written(openai_error(failure))


class ChatRecording(Recording):
    """Chunks; one that only adds to a text is joined to the one before it. Calls come in one piece each."""

    def __init__(self, *, wants_usage: bool) -> None:
        super().__init__()
        self._wants_usage = wants_usage
        self._text = _NO_TEXT

    def error(self, event: dict[str, Any]) -> Any:
        if event.get("error"):
            return event
        return next(filter(None, map(_failure, items(event.get("choices")))), None)

    def add(self, event: dict[str, Any]) -> Part:
        event.pop(_PADDING, None)
        if self._lengthens(event):
            return self._passed()
        self.model = event.get("model") or self.model
        usage, choices = mapping(event.get("usage")), items(event.get("choices"))
        self.tokens = tokens_of(usage, "prompt", "completion") if usage else self.tokens
        if usage and not choices and not self._wants_usage:
            return Part.DROPPED
        self.events.append(event)
        self._text = _text(event)
        return self._part(choices)

    @property
    def _last(self) -> dict[str, Any]:
        return self.events[-1] if self.events else {}

    def _lengthens(self, event: dict[str, Any]) -> bool:
        """Add an event's text to the last one's, if all else is the same: most events of a stream are such."""
        mine, name = self._text
        choices = items(event.get("choices"))
        its = mapping(choices[0].get("delta")) if choices else {}
        more = its.get(name)
        if not name or not isinstance(more, str) or len(mine[name]) > LONGEST_JOINED:
            return False
        before = mine[name]
        mine[name] = its[name] = ""
        is_same = self._last == event
        mine[name], its[name] = before + more if is_same else before, more
        return is_same

    def _part(self, choices: Sequence[Mapping[str, Any]]) -> Part:
        self.is_complete |= any(choice.get("finish_reason") for choice in choices)
        deltas = [mapping(choice.get("delta")) for choice in choices]
        has_content = any(value for delta in deltas for name, value in delta.items() if name != "role")
        return self._passed() if has_content or self.is_complete else Part.OPENING

    def _passed(self) -> Part:
        return Part.ENDING if self.is_complete else Part.CONTENT


def _text(event: dict[str, Any]) -> _Text:
    """Where an event has its one text, if it may be joined to another's."""
    choices = items(event.get("choices"))
    if event.get("usage") or len(choices) != 1 or _is_more(choices[0]):
        return _NO_TEXT
    delta = mapping(choices[0].get("delta"))
    texts = [name for name in _TEXTS if isinstance(delta.get(name), str)]
    return _one(delta, [name for name in texts if delta[name]] or texts)


def _one(delta: dict[str, Any], names: Sequence[str]) -> _Text:
    return (delta, names[0]) if len(names) == 1 else _NO_TEXT


def _is_more(choice: Mapping[str, Any]) -> bool:
    """Whether there is more to it than its delta."""
    return bool(choice.get("finish_reason") or choice.get("logprobs"))


def _failure(choice: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read the failure out of a choice, where the provider has no other place for it."""
    finish = choice.get("finish_reason")
    if not isinstance(finish, str) or finish.lower() not in FAILED_FINISHES:
        return None
    return mapping(choice.get("error")) or {"message": f"it ended the answer with '{finish}'"}


def _thinks(choice: Mapping[str, Any]) -> bool:
    said = mapping(choice.get("delta") or choice.get("message"))
    return any(said.get(name) for name in _THOUGHTS)


def _says(choice: Mapping[str, Any]) -> bool:
    said = mapping(choice.get("delta") or choice.get("message"))
    return any(said.get(name) for name in _SAID)


def _function(holder: Mapping[str, Any]) -> dict[str, Any]:
    return mapping(holder.get("function"))


def _wants_usage(body: Mapping[str, Any]) -> bool:
    return bool(mapping(body.get("stream_options")).get("include_usage"))
