"""What the gateway has to know of a conversation's tool calls: those of an answer, its end, and results sent back."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from runtimes.finish_reasons import finish_of
from runtimes.types import FinishReason
from services.asked_calls import AskedCall
from services.model_gateway.wires.wire import items, mapping

#: A call: its id, its tool, its arguments.
_Called = tuple[str, str, str]
_CALLS = {"function_call", "custom_tool_call"}
#: What the responses wire calls an answer that was cut.
_INCOMPLETE = {"max_output_tokens": "length"}


def end_of(record: Mapping[str, Any]) -> FinishReason:
    """Why an answer, as the journal has it, ended."""
    words = [word for told in _told(record) for word in _words(told)]
    return next((reason for word in words if (reason := finish_of(word)) is not FinishReason.STOP), FinishReason.STOP)


def asked_calls(record: Mapping[str, Any], body: Mapping[str, Any]) -> list[AskedCall]:
    """The tool calls of an answer, as the journal has it, to a request."""
    offered = set(_offered(body))
    called = [*_of_chat(record), *_of_messages(record), *_of_responses(record)]
    return [AskedCall(*call, is_known=call[1] in offered) for call in called]


def results_of(body: Mapping[str, Any]) -> dict[str, str]:
    """The results of tools that a request brings back, by their calls' ids."""
    return dict(_results(body))


def _of_chat(record: Mapping[str, Any]) -> Iterator[_Called]:
    pieces: dict[Any, list[dict[str, Any]]] = {}
    for told in _told(record):
        for choice in items(told.get("choices"))[:1]:
            said = mapping(choice.get("delta") or choice.get("message"))
            for at, piece in enumerate(items(said.get("tool_calls"))):
                pieces.setdefault(piece.get("index", at), []).append(piece)
    for call in pieces.values():
        inner = [mapping(piece.get("function") or piece.get("custom")) for piece in call]
        name, call_id = _first(inner, "name"), _first(call, "id")
        yield call_id, name, "".join(_written(each.get("arguments") or each.get("input")) for each in inner)


def _of_messages(record: Mapping[str, Any]) -> Iterator[_Called]:
    begun: dict[Any, dict[str, Any]] = dict(enumerate(items(mapping(record.get("body")).get("content"))))
    inputs: dict[Any, str] = {}
    for event in items(record.get("events")):
        if event.get("type") == "content_block_start":
            begun[event.get("index")] = mapping(event.get("content_block"))
        elif event.get("type") == "content_block_delta":
            piece = mapping(event.get("delta")).get("partial_json")
            inputs[event.get("index")] = inputs.get(event.get("index"), "") + str(piece or "")
    for at, block in begun.items():
        if block.get("type") == "tool_use":
            yield str(block.get("id")), str(block.get("name")), inputs.get(at) or _written(block.get("input"))


def _of_responses(record: Mapping[str, Any]) -> Iterator[_Called]:
    outputs = [items((mapping(told.get("response")) or told).get("output")) for told in _told(record)]
    for item in next((output for output in outputs if output), list[dict[str, Any]]()):
        if item.get("type") in _CALLS:
            written = _written(item.get("arguments") or item.get("input"))
            yield str(item.get("call_id")), str(item.get("name")), written


def _first(pieces: Sequence[Mapping[str, Any]], name: str) -> str:
    return next((str(piece[name]) for piece in pieces if piece.get(name)), "")


def _written(arguments: Any) -> str:
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return orjson.dumps(arguments).decode()


def _told(record: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    return [mapping(record.get("body")), *items(record.get("events"))]


def _words(told: Mapping[str, Any]) -> Iterator[str]:
    """The words for the end that an event or a whole answer of any wire may have."""
    response = mapping(told.get("response")) or told
    reason = mapping(response.get("incomplete_details")).get("reason")
    for choice in items(told.get("choices")):
        yield str(choice.get("finish_reason") or "")
    yield str(told.get("stop_reason") or mapping(told.get("delta")).get("stop_reason") or "")
    yield _INCOMPLETE.get(str(reason), str(reason or ""))


def _offered(body: Mapping[str, Any]) -> Iterator[str]:
    for tool in items(body.get("tools")):
        yield str(mapping(tool.get("function")).get("name") or tool.get("name") or tool.get("type"))


def _results(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for message in (*items(body.get("messages")), *items(body.get("input"))):
        if message.get("role") == "tool":
            yield str(message.get("tool_call_id")), _text(message.get("content"))
        elif str(message.get("type")).endswith("_call_output"):
            yield str(message.get("call_id")), _text(message.get("output"))
        for block in items(message.get("content")):
            if block.get("type") == "tool_result":
                yield str(block.get("tool_use_id")), _text(block.get("content"))


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text") or "") for part in items(content))
