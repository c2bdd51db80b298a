"""The CLI's words to the model between two answers: in every attempt as they were told first.

The CLI adds remarks of its own to prompts and to results of tools: tokens that are left, a workspace that became a git
repository. After a start it adds others, or none: that would be another request.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import groupby
from typing import Any, cast

#: How a remark begins that stands in a message of the user.
REMARK = "<system-reminder>"
_MARK = "cache_control"

Message = Mapping[str, Any]


class Rounds:
    """The messages between two answers, by what they have beside remarks; `keep` stores them for later attempts."""

    def __init__(self, keep: Callable[[Mapping[str, Any]], Awaitable[None]]) -> None:
        self._keep = keep
        self._told: dict[str, list[Message]] = {}

    def recall(self, kept: Iterable[Mapping[str, Any]]) -> None:
        """Know what earlier attempts have kept."""
        for told in kept:
            self._told.setdefault(told["key"], told["messages"])

    async def as_told(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A request with each of its rounds as a model was told it first; the last one is kept if it is new."""
        rounds = list(_rounds(body.get("messages", ())))
        if not rounds or "max_tokens" not in body:
            return dict(body)
        at, last = rounds[-1]
        key = _key(at, last)
        if last[0]["role"] != "assistant" and key not in self._told:
            self._told[key] = _bare(last)
            await self._keep({"key": key, "messages": self._told[key]})
        return {**body, "messages": [message for each in rounds for message in self._first(*each)]}

    def _first(self, at: int, messages: list[Message]) -> list[Message]:
        told = self._told.get(_key(at, messages))
        if told is None or told == _bare(messages):
            return messages
        mark = next((block[_MARK] for block in _content(messages[-1])[-1:] if _MARK in block), None)
        return told if mark is None else [*told[:-1], _marked(told[-1], mark)]


def _rounds(messages: Sequence[Message]) -> Iterator[tuple[int, list[Message]]]:
    """The messages between two answers and the answers, each with its place."""
    at = 0
    for _, group in groupby(messages, key=lambda message: message["role"] == "assistant"):
        together = list(group)
        yield at, together
        at += len(together)


def _key(at: int, messages: Sequence[Message]) -> str:
    """A round's name: the calls whose results it has, and what else it says; without calls, its place too."""
    blocks = [block for message in messages if message["role"] == "user" for block in _content(message)]
    calls = sorted(block["tool_use_id"] for block in blocks if block["type"] == "tool_result")
    said = [_unmarked(block) for block in blocks if block["type"] != "tool_result" and not _is_remark(block)]
    return sha256(json.dumps([calls or at, said], sort_keys=True).encode()).hexdigest()


def _bare(messages: Sequence[Message]) -> list[Message]:
    """Messages without marks for the provider's cache, and without the list that a single text needs for one."""
    return [{**message, "content": _plain([_unmarked(block) for block in _content(message)])} for message in messages]


def _plain(blocks: list[dict[str, Any]]) -> Any:
    return blocks[0]["text"] if len(blocks) == 1 and set(blocks[0]) == {"type", "text"} else blocks


def _marked(message: Message, mark: Any) -> Message:
    blocks = _content(message)
    return {**message, "content": [*blocks[:-1], {**blocks[-1], _MARK: mark}]}


def _unmarked(block: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in block.items() if name != _MARK}


def _is_remark(block: Mapping[str, Any]) -> bool:
    return block["type"] == "text" and block["text"].startswith(REMARK)


def _content(message: Message) -> Sequence[Mapping[str, Any]]:
    content = message["content"]
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return cast("Sequence[Mapping[str, Any]]", content)
