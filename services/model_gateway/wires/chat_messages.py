"""Messages of chat completions: those of recorded answers, and those that a request brings back."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, cast

import orjson

from services.model_gateway.wires.chat_calls import ChatCalls
from services.model_gateway.wires.mending import CallIds, is_object, written_arguments
from services.model_gateway.wires.wire import AnsweredCall, Answers, items, mapping, word

#: Of an answer with calls, what its provider wants back with their results.
_WANTED_BACK = ("reasoning_content", "reasoning_details")
_CHUNK = "chat.completion.chunk"
#: What frameworks keep of a call.
_KEPT = {"index", "id", "type", "function", "custom"}


def message_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The first choice's message of an answer, as the journal has it: its calls, and what is wanted back."""
    if "body" in record:
        choices = items(mapping(record["body"]).get("choices"))
        return mapping(choices[0].get("message")) if choices else {}
    choices = chain.from_iterable(map(_first, items(record.get("events"))))
    return _assembled([mapping(choice.get("delta")) for choice in choices])


def _assembled(deltas: Sequence[dict[str, Any]]) -> dict[str, Any]:
    calls = ChatCalls(CallIds("call_", ""))
    for piece in chain.from_iterable(items(delta.get("tool_calls")) for delta in deltas):
        calls.add(piece)
    texts = {name: _joined([delta[name] for delta in deltas if delta.get(name)]) for name in _WANTED_BACK}
    return {**texts, "tool_calls": calls.taken(is_indexed=False, is_cut=True)}


def answered_call(call: Mapping[str, Any]) -> AnsweredCall:
    """A call of a message in short."""
    inner = mapping(call.get("function")) or mapping(call.get("custom"))
    arguments = written_arguments(inner.get("arguments", inner.get("input")))
    return AnsweredCall(str(call.get("id")), str(inner.get("name")), arguments)


def chunks_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The chunks of an answer that came whole: the messages, the ends, the usage."""
    head = {**{name: value for name, value in body.items() if name not in {"choices", "usage"}}, "object": _CHUNK}
    choices = items(body.get("choices"))
    said: list[dict[str, Any]] = [
        {**choice, "delta": _delta(mapping(choice.get("message"))), "finish_reason": None} for choice in choices
    ]
    ends: list[dict[str, Any]] = [{"index": 0, **choice, "delta": {}} for choice in choices]
    chunks = [{name: value for name, value in choice.items() if name != "message"} for choice in (*said, *ends)]
    usage: list[dict[str, Any]] = [{**head, "choices": [], "usage": body["usage"]}] if body.get("usage") else []
    return [*({**head, "choices": [{"index": 0, **choice}]} for choice in chunks), *usage]


def restored_chat(body: Mapping[str, Any], answers: Answers) -> Mapping[str, Any]:
    """A request with what its provider wants back, and with arguments that strict ones take."""
    found = body.get("messages")
    before = cast("list[Any]", found) if isinstance(found, list) else []
    after = [_message(mapping(message), answers) or message for message in before]
    is_same = all(one is other for one, other in zip(before, after, strict=True))
    return body if is_same else {**body, "messages": after}


def _message(message: Mapping[str, Any], answers: Answers) -> dict[str, Any] | None:
    """A message with what it lacks; None if it lacks nothing."""
    calls = items(message.get("tool_calls"))
    if message.get("role") != "assistant" or not calls:
        return None
    answered = _answered(calls, answers)
    lacking = {name: answered[name] for name in _WANTED_BACK if answered.get(name) and not message.get(name)}
    mended = _calls(calls, items(answered.get("tool_calls")))
    return None if mended is calls and not lacking else {**message, **lacking, "tool_calls": mended}


def _answered(calls: Sequence[dict[str, Any]], answers: Answers) -> dict[str, Any]:
    """The recorded message that asked for the calls; empty if there is none."""
    records = (answers[name] for call in calls for name in _names(call) if name in answers)
    return next(map(message_of, records), dict[str, Any]())


def _calls(calls: list[dict[str, Any]], answered: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls with what they lack; the same list if they lack nothing."""
    originals = {name: call for call in answered for name in _names(call)}
    mended = [_call(call, originals) for call in calls]
    return calls if all(one is other for one, other in zip(calls, mended, strict=True)) else mended


def _call(call: dict[str, Any], originals: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """A call with the fields that the framework dropped; arguments that were no JSON object become one."""
    found = (originals[name] for name in _names(call) if name in originals)
    original = next(found, dict[str, Any]())
    lacking = {name: value for name, value in original.items() if name not in _KEPT and not call.get(name)}
    function = mapping(call.get("function"))
    written = function.get("arguments")
    if isinstance(written, str) and not is_object(written):
        told = {"not_json": written} if written.strip() else {}
        lacking["function"] = {**function, "arguments": orjson.dumps(told).decode()}
    return {**call, **lacking} if lacking else call


def _delta(message: dict[str, Any]) -> dict[str, Any]:
    if not (calls := items(message.get("tool_calls"))):
        return message
    return {**message, "tool_calls": [{"index": at, **call} for at, call in enumerate(calls)]}


def _first(event: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [choice for choice in items(event.get("choices")) if not choice.get("index")]


def _names(call: Mapping[str, Any]) -> tuple[str, str]:
    """A call's id, and its words: some frameworks give calls other ids."""
    return word(call.get("id")), answered_call(call).words


def _joined(pieces: list[Any]) -> Any:
    """Texts in one, or lists in one."""
    if all(isinstance(piece, str) for piece in pieces):
        return "".join(pieces)
    return [item for piece in pieces for item in items(piece)]
