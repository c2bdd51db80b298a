"""What the relay changes in the CLI's requests, so that they say what the journal says."""

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any, cast

from runtimes.claude_code_options import GO_ON
from runtimes.types import ToolResult

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
_FILLER = "No response requested."
#: How the ids of answers begin that stand for what is left of a model's answer.
REST = "holdfast_"

Body = Mapping[str, Any]


def results(body: Body) -> dict[str, ToolResult]:
    """The tool results that a request has, by the ids of their calls."""
    blocks = (block for message in body.get("messages", ()) for block in _content(message))
    return {
        block["tool_use_id"]: ToolResult(text_of(block.get("content")), bool(block.get("is_error")))
        for block in blocks
        if block.get("type") == "tool_result"
    }


def goes_on(body: Body) -> bool:
    """Whether it is the first request of a turn that goes on."""
    return any(_is_mark(block) for message in body.get("messages", ())[-1:] for block in _content(message))


def edited(body: Body, recorded: Mapping[str, ToolResult], rest: Container[str] = ()) -> dict[str, Any]:
    """The request as it would be in a turn that was never interrupted; `rest` are calls that were asked for again."""
    messages = [_edited(message, recorded) for message in body.get("messages", ()) if not _is_filler(message)]
    whole = _rejoined([each for each in messages if each["content"]], rest)
    return {**body, **({"messages": whole} if messages else {})}


def answer(model: str, calls: Sequence[Mapping[str, Any]]) -> bytes:
    """A streamed answer that asks for these calls."""
    usage = {"input_tokens": 0, "output_tokens": 0}
    message: dict[str, Any] = {"id": f"{REST}{calls[0]['id']}", "type": "message", "role": "assistant", "model": model}
    opening: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, **opening, "usage": usage}},
        *(event for at, call in enumerate(calls) for event in _call(at, call)),
        {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]
    return _HEAD + b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def calls_of(stream: bytes) -> tuple[str, list[dict[str, Any]]]:
    """A streamed answer's id, and its tool calls."""
    message, blocks, written = "", dict[int, dict[str, Any]](), dict[int, str]()
    for line in stream.splitlines():
        match json.loads(line[5:]) if line.startswith(b"data:") else None:
            case {"type": "message_start", "message": {"id": str(name)}}:
                message = name
            case {"type": "content_block_start", "index": int(at), "content_block": {"type": "tool_use", **block}}:
                blocks[at], written[at] = {"type": "tool_use", **block}, ""
            case {"type": "content_block_delta", "index": int(at), "delta": {"partial_json": str(piece)}}:
                written[at] = written.get(at, "") + piece
            case _:
                pass
    return message, [{**block, "input": _arguments(written[at])} for at, block in blocks.items()]


def as_told(entry: Mapping[str, Any], recorded: Mapping[str, ToolResult]) -> Mapping[str, Any]:
    """An entry of the transcript with the results that the model is told."""
    message: Any = entry.get("message")
    if not isinstance(message, Mapping) or not recorded:
        return entry
    said = cast("Mapping[str, Any]", message)
    blocks = [_as_recorded(block, recorded) for block in _content(said)]
    return {**entry, "message": {**said, "content": blocks}} if blocks else entry


def text_of(content: Any) -> str:
    """The text of a tool result; pictures are only named."""
    if not isinstance(content, list):
        return str(content or "")
    blocks = cast("list[Mapping[str, Any]]", content)
    return "\n".join(str(block["text"]) if "text" in block else f"[{block.get('type')}]" for block in blocks)


def _call(at: int, call: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    block: dict[str, Any] = {"type": "tool_use", "id": call["id"], "name": call["name"], "input": {}}
    delta = {"type": "input_json_delta", "partial_json": json.dumps(call["input"], ensure_ascii=False)}
    yield {"type": "content_block_start", "index": at, "content_block": block}
    yield {"type": "content_block_delta", "index": at, "delta": delta}
    yield {"type": "content_block_stop", "index": at}


def _rejoined(messages: Sequence[dict[str, Any]], rest: Container[str]) -> list[dict[str, Any]]:
    """Each answer in one piece: its first part and its rest, then the results of both."""
    whole: list[dict[str, Any]] = []
    answer, results_follow = -1, False
    for message in messages:
        is_rest = answer >= 0 and _is_rest(message, rest)
        if is_rest or results_follow:
            at = answer if is_rest else answer + 1
            whole[at] = {**whole[at], "content": [*_content(whole[at]), *_content(message)]}
        else:
            answer = len(whole) if message["role"] == "assistant" else answer
            whole.append(message)
        results_follow = is_rest
    return whole


def _is_rest(message: Mapping[str, Any], rest: Container[str]) -> bool:
    calls = [block["id"] for block in _content(message) if block.get("type") == "tool_use"]
    return bool(calls) and all(call in rest for call in calls)


def _arguments(written: str) -> Any:
    try:
        return json.loads(written or "{}")
    except json.JSONDecodeError:
        return {}


def _edited(message: Mapping[str, Any], recorded: Mapping[str, ToolResult]) -> dict[str, Any]:
    if isinstance(message["content"], str):
        return {**message, "content": "" if message["content"] == GO_ON else message["content"]}
    blocks: list[dict[str, Any]] = []
    for block in _content(message):
        if _is_mark(block):
            if blocks and "cache_control" in block:
                blocks[-1] = {**blocks[-1], "cache_control": block["cache_control"]}
        else:
            blocks.append(_as_recorded(block, recorded))
    return {**message, "content": blocks}


def _as_recorded(block: Mapping[str, Any], recorded: Mapping[str, ToolResult]) -> dict[str, Any]:
    result = recorded.get(block.get("tool_use_id", ""))
    if result is None:
        return dict(block)
    return {**block, "content": result.text, "is_error": result.is_error}


def _is_mark(block: Mapping[str, Any]) -> bool:
    return block.get("type") == "text" and block.get("text") == GO_ON


def _is_filler(message: Mapping[str, Any]) -> bool:
    """What the CLI puts between two messages of the user."""
    said = [block.get("text") for block in _content(message)]
    return message["role"] == "assistant" and said == [_FILLER]


def _content(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    content = message.get("content")
    return cast("Sequence[Mapping[str, Any]]", content) if isinstance(content, list) else ()
