"""The canonical form of a conversation: results of a round in the order of their calls, and no trimmings."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from services.model_gateway.wires.wire import items, mapping

#: On the Anthropic wire: thoughts are the model's own, and no part of what it was asked.
_THOUGHTS = {"thinking", "redacted_thinking"}
#: A hint for the provider's cache; frameworks move it along with the conversation.
_MARK = "cache_control"

Item = dict[str, Any]


class _Calls:
    """The calls of a conversation so far, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def add(self, calls: Iterable[Any]) -> None:
        for call in calls:
            self._places[str(call)] = len(self._places)

    def sorted(self, results: Iterable[Item], name: str) -> list[Item]:
        return sorted(results, key=lambda result: self._places.get(str(result.get(name)), len(self._places)))


def chat_body(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """A request for chat completions."""
    found = body.get("messages")
    return (
        {**body, "messages": _in_order(items(found), _is_answer_to, "tool_call_id", _asked)}
        if _are_items(found)
        else body
    )


def response_body(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """A request of the responses wire."""
    found = body.get("input")
    return {**body, "input": _in_order(items(found), _is_output, "call_id", _call)} if _are_items(found) else body


def messages_body(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """A request of the Anthropic wire."""
    calls, found = _Calls(), body.get("messages")
    messages = [_message(message, calls) for message in items(found)] if _are_items(found) else found
    changed = {"messages": messages, "system": _texts(body.get("system")), "tools": _bare(body.get("tools"))}
    return {**body, **{name: value for name, value in changed.items() if name in body}}


def _in_order(
    found: Sequence[Item], is_result: Callable[[Item], bool], name: str, calls_of: Callable[[Item], Iterable[Any]]
) -> list[Item]:
    """Frameworks that run the calls of an answer at once may add their results as they come."""
    calls, ordered = _Calls(), list[Item]()
    for are_results, row in groupby(found, key=is_result):
        together = list(row)
        if are_results:
            together = calls.sorted(together, name)
        calls.add(call for item in together for call in calls_of(item))
        ordered += together
    return ordered


def _message(message: Item, calls: _Calls) -> Item:
    if not _are_items(message.get("content")):
        return message
    blocks = [_block(block) for block in _bare(message["content"]) if block.get("type") not in _THOUGHTS]
    results = iter(calls.sorted(filter(_is_result, blocks), "tool_use_id"))
    calls.add(block.get("id") for block in blocks if block.get("type") == "tool_use")
    return {**message, "content": _plain([next(results) if _is_result(block) else block for block in blocks])}


def _block(block: Item) -> Item:
    return {**block, "content": _texts(block["content"])} if _is_result(block) and "content" in block else block


def _texts(content: Any) -> Any:
    return _plain(_bare(content)) if _are_items(content) else content


def _plain(blocks: Sequence[Item]) -> Any:
    """A text needs a list only where it has a mark."""
    return blocks[0]["text"] if len(blocks) == 1 and set(blocks[0]) == {"type", "text"} else blocks


def _bare(blocks: Any) -> Any:
    """Blocks without marks."""
    if not _are_items(blocks):
        return blocks
    return [{name: value for name, value in block.items() if name != _MARK} for block in items(blocks)]


def _are_items(value: Any) -> bool:
    """Whether it is a list of JSON objects, and of nothing else: what is odd stays as it is."""
    return isinstance(value, list) and len(items(value)) == len(value)  # pyright: ignore[reportUnknownArgumentType]


def _is_result(block: Mapping[str, Any]) -> bool:
    return block.get("type") == "tool_result"


def _is_answer_to(message: Mapping[str, Any]) -> bool:
    return message.get("role") == "tool"


def _asked(message: Mapping[str, Any]) -> Iterable[Any]:
    return (mapping(call).get("id") for call in items(message.get("tool_calls")))


def _is_output(item: Mapping[str, Any]) -> bool:
    return str(item.get("type")).endswith("_call_output")


def _call(item: Mapping[str, Any]) -> Iterable[Any]:
    return (item["call_id"],) if str(item.get("type")).endswith("_call") and "call_id" in item else ()
