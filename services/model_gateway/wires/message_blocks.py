"""Content blocks of recorded messages, whole."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import orjson

from services.model_gateway.wires.mending import written_arguments
from services.model_gateway.wires.message_mending import TEXTS
from services.model_gateway.wires.wire import AnsweredCall, Answers, items, kind_of, mapping, word

_THOUGHTS = frozenset({"thinking", "redacted_thinking"})
#: Events of an answer's end.
ENDS = frozenset({"message_delta", "message_stop"})
#: Where a delta has a piece of a call's input, which its block has as an object.
_WRITTEN = "partial_json"
#: Deltas that say something whole, and where it belongs.
_WHOLES = {"signature_delta": "signature"}
#: Texts of blocks that streams tell in deltas, by the deltas' types.
_IN_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


class _Citations(list[Any]):
    """A block's citations, in a list that is not the recorded event's."""


def blocks_of(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The content of an answer, as the journal has it: as it would be in an answer that is not streamed."""
    if "body" in record:
        return items(mapping(record["body"]).get("content"))
    blocks: dict[str, dict[str, Any]] = {}
    texts: dict[tuple[str, str], list[str]] = {}
    for event in items(record.get("events")):
        at = str(event.get("index"))
        if kind_of(event) == "content_block_start":
            blocks[at] = dict(mapping(event.get("content_block")))
        elif kind_of(event) == "content_block_delta" and at in blocks:
            name, text = _lengthened(blocks[at], mapping(event.get("delta")))
            texts.setdefault((at, name), []).append(text)
    _lengthen(blocks, texts)
    return [_with_input(block, "".join(texts.get((at, _WRITTEN), ()))) for at, block in blocks.items()]


def answered_calls(record: Mapping[str, Any]) -> list[AnsweredCall]:
    """The calls of an answer, as the journal has it."""
    calls = (block for block in blocks_of(record) if kind_of(block) == "tool_use")
    return [_answered(call) for call in calls]


def events_of(message: Mapping[str, Any], after: int = 0) -> list[dict[str, Any]]:
    """The events of an answer that came whole; one that goes on with `after` blocks has no beginning of its own."""
    reason = {name: message.get(name) for name in ("stop_reason", "stop_sequence")}
    start: dict[str, Any] = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    blocks = [event for at, block in enumerate(items(message.get("content")), after) for event in _told(at, block)]
    end = {"type": "message_delta", "delta": reason, "usage": mapping(message.get("usage"))}
    began = [] if after else [{"type": "message_start", "message": start}]
    return [*began, *blocks, end, {"type": "message_stop"}]


def continued_message(body: Mapping[str, Any], record: Mapping[str, Any], after: int) -> tuple[dict[str, Any], int]:
    """A request with a paused answer at its end, and how many blocks that has; a part before it is joined to it."""
    messages, blocks = items(body.get("messages")), blocks_of(record)
    if after:
        blocks = [*items(messages[-1].get("content")), *blocks]
        messages = messages[:-1]
    return {**body, "messages": [*messages, {"role": "assistant", "content": blocks}]}, len(blocks)


def joined_messages(records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """One answer of the parts of a paused one: no end but the last, no beginning but the first."""
    if "body" in records[-1]:
        content = [block for record in records for block in blocks_of(record)]
        return {"body": {**records[-1]["body"], "content": content}}
    *paused, last = (items(record.get("events")) for record in records)
    return {"events": [*(event for events in paused for event in events if kind_of(event) not in ENDS), *last]}


def restored_messages(body: Mapping[str, Any], answers: Answers) -> Mapping[str, Any]:
    """A request with the thoughts that its framework has dropped: they are wanted back with their calls."""
    found = body.get("messages")
    if kind_of(mapping(body.get("thinking"))) == "disabled" or not isinstance(found, list):
        return body
    before = cast("list[Any]", found)
    after = [_with_thoughts(message, answers) for message in before]
    is_same = all(one is other for one, other in zip(before, after, strict=True))
    return body if is_same else {**body, "messages": after}


def _with_thoughts(message: Any, answers: Answers) -> Any:
    """A message that asks for calls, with its answer's thoughts: in front, or before the call that they led to."""
    content = items(mapping(message).get("content"))
    record = None if any(kind_of(block) in _THOUGHTS for block in content) else _answer_of(content, answers)
    if record is None:
        return message
    first, before = _thoughts(blocks_of(record))
    if not first and not before:
        return message
    whole = [each for block in content for each in (*before.get(str(block.get("id")), ()), block)]
    return {**message, "content": [*first, *whole]}


def _answer_of(content: Sequence[Mapping[str, Any]], answers: Answers) -> Mapping[str, Any] | None:
    """The recorded answer that asked for the calls of this content."""
    asked = (str(block.get("id")) for block in content if kind_of(block) == "tool_use")
    return next((answers[call] for call in asked if call in answers), None)


def _thoughts(blocks: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """The thoughts before an answer's first call, and those before each later one."""
    before: dict[str, list[dict[str, Any]]] = {}
    open_: list[dict[str, Any]] = []
    for block in blocks:
        if kind_of(block) in _THOUGHTS:
            open_.append(block)
        elif kind_of(block) == "tool_use":
            before[str(block.get("id"))] = open_
            open_ = []
    return before.pop(next(iter(before), ""), []), {call: thoughts for call, thoughts in before.items() if thoughts}


def _told(at: int, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A block, its texts in deltas."""
    deltas = [{"type": kind, name: block[name]} for kind, name in _IN_DELTAS.items() if block.get(name)]
    start = {**block, **{name: "" for name in _IN_DELTAS.values() if name in block}}
    if isinstance(block.get("input"), dict):
        deltas = [{"type": "input_json_delta", "partial_json": written_arguments(block["input"])}]
        start["input"] = {}
    yield {"type": "content_block_start", "index": at, "content_block": start}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": at, "delta": delta}
    yield {"type": "content_block_stop", "index": at}


def _lengthen(blocks: Mapping[str, dict[str, Any]], texts: Mapping[tuple[str, str], list[str]]) -> None:
    """Put the pieces of texts into their blocks; inputs of calls have a place of their own."""
    for (at, name), pieces in texts.items():
        if name not in {"", _WRITTEN}:
            blocks[at][name] = "".join((word(blocks[at].get(name)), *pieces))


def _lengthened(block: dict[str, Any], delta: Mapping[str, Any]) -> tuple[str, str]:
    """The text of a block that a delta adds to, and what it adds; what else it brings is put into the block."""
    kind = kind_of(delta)
    if kind == "citations_delta":
        found: Any = block.get("citations")
        block["citations"] = found if isinstance(found, _Citations) else _Citations(found or ())
        block["citations"].append(delta.get("citation"))
    elif name := TEXTS.get(kind):
        return name, word(delta.get(name))
    elif name := _WHOLES.get(kind):
        block[name] = delta.get(name)
    return "", ""


def _with_input(block: dict[str, Any], written: str) -> dict[str, Any]:
    """The block with its input as an object; one that was cut off stays a text."""
    if not written:
        return block
    try:
        return {**block, "input": orjson.loads(written)}
    except orjson.JSONDecodeError:
        return {**block, "input": written}


def _answered(call: Mapping[str, Any]) -> AnsweredCall:
    return AnsweredCall(str(call.get("id")), str(call.get("name")), written_arguments(call.get("input")))
