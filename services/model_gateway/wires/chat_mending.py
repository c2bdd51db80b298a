"""Puts chat completions right: calls in one piece each, ids, indexes, ends; what it does not know stays as it came."""

from collections.abc import Iterator, Mapping
from typing import Any

from services.model_gateway.sse import DONE
from services.model_gateway.wires.chat_calls import ChatCalls, pieces_of
from services.model_gateway.wires.mending import CallIds, Mender
from services.model_gateway.wires.wire import items, mapping, word

#: What the chunks of an answer have in common.
_HEAD = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
#: Vendors' words for why an answer ended.
FINISHES: Mapping[str, str] = {
    **dict.fromkeys(("eos", "eos_token", "end", "end_turn", "stop_sequence", "completed", "complete"), "stop"),
    **dict.fromkeys(("max_tokens", "max_output_tokens", "model_length", "max_length"), "length"),
    **dict.fromkeys(("sensitive", "safety", "recitation", "blocklist", "prohibited_content", "spii"), "content_filter"),
}
#: With these an answer has come to nothing.
FAILED_FINISHES = frozenset(
    {
        "error",
        "abort",
        "network_error",
        "server_error",
        "insufficient_system_resource",
        "malformed_function_call",
        "unexpected_tool_call",
    }
)
_CUT = {"length", "content_filter"}
_CALLED = {"stop", "function_call"}


#: What every choice of a chunk has.
_USUAL = {"index", "delta", "finish_reason", "logprobs"}


class ChatMender(Mender):
    """Holds tool calls back until they are whole, and from an answer's end on all that comes."""

    mark = b"data: %b\n\n" % DONE

    def __init__(self, ids: CallIds) -> None:
        self._ids = ids
        self._calls: dict[Any, ChatCalls] = {}
        self._head: dict[str, Any] = {}
        self._ends: dict[Any, dict[str, Any]] = {}
        self._ending: list[dict[str, Any]] = []
        self._has_begun = False
        self._spoke = False

    def mend(self, event: dict[str, Any], name: str) -> list[dict[str, Any]] | None:
        if not self.is_complete and self._is_plain(event):
            self._has_begun = self._spoke = True
            return None
        is_told = isinstance(event.get("choices"), list) and not items(event["choices"])
        event["choices"] = items(event.get("choices"))
        told = [is_told, *(self._take(choice, event) for choice in event["choices"]), bool(event.get("usage"))]
        if self._ends:
            self.is_complete = True
            self._ending.append(event)
        return [event] if any(told) and not self._ends else []

    def rest(self, *, is_told: bool) -> list[dict[str, Any]]:
        if not self._ends and is_told:
            self._end_by_itself()
        return [*self._called(), *self._spoken(), *self._ended(), *self._counted()] if self._ends else []

    def whole(self, body: dict[str, Any]) -> bool:
        mended = [self._whole(choice) for choice in items(body.get("choices"))]
        return any(mended)

    def _is_plain(self, event: Mapping[str, Any]) -> bool:
        """Whether an event adds to texts only, as nearly all of a stream do."""
        choices: Any = event.get("choices")
        if not isinstance(choices, list) or len(choices) != 1:  # pyright: ignore[reportUnknownArgumentType]
            return False
        self._head = self._head or _head(event)
        return _is_plain(mapping(choices[0]))

    def _take(self, choice: dict[str, Any], event: dict[str, Any]) -> bool:
        """Put a choice right; whether something is left of it to pass on."""
        self._head = self._head or _head(event)
        event |= {name: value for name, value in self._head.items() if not event.get(name)}
        index = choice.setdefault("index", 0)
        delta = choice["delta"] = mapping(choice.get("delta")) or mapping(choice.pop("message", None))
        for piece in pieces_of(delta):
            self._of(index).add(piece)
        event["usage"] = event.get("usage") or choice.pop("usage", None)
        self._finish(choice, index)
        return self._tells(choice, delta)

    def _finish(self, choice: dict[str, Any], index: Any) -> None:
        """Keep a choice's end until the stream is over."""
        finish, choice["finish_reason"] = word(choice.get("finish_reason")), None
        if finish:
            self._ends[_key(index)] = {**choice, "delta": {}, "finish_reason": FINISHES.get(finish.lower(), finish)}

    def _tells(self, choice: Mapping[str, Any], delta: Mapping[str, Any]) -> bool:
        is_first, self._has_begun = not self._has_begun, True
        says = any(value for name, value in delta.items() if name != "role")
        self._spoke |= says
        return is_first or says or not choice.keys() <= _USUAL

    def _of(self, index: Any) -> ChatCalls:
        return self._calls.setdefault(_key(index), ChatCalls(self._ids))

    def _end_by_itself(self) -> None:
        """A stream that ended in order, but without a reason, ended by itself: if all of it is there."""
        if (self._spoke or self._calls) and all(calls.are_whole for calls in self._calls.values()):
            self._ends = {index: _end(index) for index in self._calls or (0,)}
            self.is_complete = True

    def _called(self) -> Iterator[dict[str, Any]]:
        for index, calls in self._calls.items():
            end = self._ends.setdefault(index, _end(index))
            is_cut = end["finish_reason"] in _CUT
            end["finish_reason"] = "tool_calls" if end["finish_reason"] in _CALLED else end["finish_reason"]
            for call in calls.taken(is_indexed=True, is_cut=is_cut):
                yield self._chunk({**_end(index), "delta": {"tool_calls": [call]}, "finish_reason": None})

    def _spoken(self) -> Iterator[dict[str, Any]]:
        """The words that came together with the end, or after it."""
        for event in self._ending:
            said = [choice for choice in event["choices"] if any(choice["delta"].values())]
            if said:
                yield {**event, "choices": said, "usage": None}

    def _ended(self) -> Iterator[dict[str, Any]]:
        """The ends, with the fields that came with them and that this module knows nothing of."""
        more = {name: value for event in self._ending for name, value in event.items() if value and name != "usage"}
        for end in self._ends.values():
            yield {**more, **self._chunk(end)}

    def _counted(self) -> Iterator[dict[str, Any]]:
        """Usage, in the way in which it is told after the end."""
        for event in self._ending:
            if event.get("usage"):
                yield {**event, "choices": []}

    def _chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        return {**self._head, "choices": [choice]}

    def _whole(self, choice: dict[str, Any]) -> bool:
        before = choice.get("finish_reason")
        finish = FINISHES.get(before.lower(), before) if isinstance(before, str) and before else "stop"
        message = mapping(choice.get("message"))
        given = message.get("tool_calls")
        calls = ChatCalls(self._ids).whole(items(given), is_cut=finish in _CUT)
        if calls:
            message["tool_calls"] = calls
        elif "tool_calls" in message:
            del message["tool_calls"]
        choice["finish_reason"] = "tool_calls" if calls and finish in _CALLED else finish
        return choice["finish_reason"] != before or given != message.get("tool_calls")


def _is_plain(choice: Mapping[str, Any]) -> bool:
    """Whether a choice has a delta that only lengthens texts, and nothing else that counts."""
    if choice.get("finish_reason") is not None or "usage" in choice or not choice.keys() >= {"index", "delta"}:
        return False
    delta: Any = choice["delta"]
    return isinstance(delta, dict) and "tool_calls" not in delta


def _head(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: event[name] for name in _HEAD if event.get(name)}


def _end(index: Any) -> dict[str, Any]:
    return {"index": index, "delta": {}, "finish_reason": "stop"}


def _key(index: Any) -> Any:
    return index if isinstance(index, int | str) else 0
