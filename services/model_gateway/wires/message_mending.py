"""Puts messages right: ids and inputs of tool calls, places of blocks, ends."""

from collections.abc import Mapping
from typing import Any

from services.model_gateway.wires.mending import CallIds, Mender, written_arguments
from services.model_gateway.wires.wire import items, kind_of, mapping

#: Where the text of a delta is.
TEXTS: Mapping[str, str] = {"text_delta": "text", "input_json_delta": "partial_json", "thinking_delta": "thinking"}
_OF_A_BLOCK = {"content_block_start", "content_block_delta", "content_block_stop"}
_CALL = "tool_use"


class MessageMender(Mender):
    """Passes events on as they come, each put right; adds the end where it is missing.

    An answer that goes on with a paused one has no beginning of its own, and `after` blocks before it.
    """

    def __init__(self, ids: CallIds, after: int = 0) -> None:
        self._ids = ids
        self._after = after
        self._usage: dict[str, Any] = {}
        self._place = -1
        self._has_calls = False
        self._stopped = False
        self._is_over = False

    def mend(self, event: dict[str, Any], name: str) -> list[dict[str, Any]] | None:
        is_named = not kind_of(event) and bool(name)
        if is_named:
            event["type"] = name
        kind = kind_of(event)
        if kind == "message_stop":
            return self._end(event)
        if self._says_nothing(kind, event):
            return []
        return [event] if self._mended(kind, event) or is_named else None

    def _says_nothing(self, kind: str, event: dict[str, Any]) -> bool:
        """Whether an event is not passed on: a delta without one, a second beginning."""
        if kind == "message_start" and self._after:
            self._usage = mapping(mapping(event.get("message")).get("usage"))
            return True
        return kind == "content_block_delta" and not mapping(event.get("delta"))

    def _mended(self, kind: str, event: dict[str, Any]) -> bool:
        """Put an event right that is passed on; whether there was something to do."""
        if kind in _OF_A_BLOCK:
            return self._block(kind, event)
        if kind != "message_delta":
            return False
        self._stopped |= bool(mapping(event.get("delta")).get("stop_reason"))
        self.is_complete |= self._stopped
        return self._counted(event)

    def rest(self, *, is_told: bool) -> list[dict[str, Any]]:
        if self._is_over or not self._stopped:
            return []
        return [{"type": "message_stop"}]

    def whole(self, body: dict[str, Any]) -> bool:
        mended = [self._call(block) for block in items(body.get("content")) if kind_of(block) == _CALL]
        if not body.get("stop_reason") and items(body.get("content")):
            body["stop_reason"] = self._reason()
            mended.append(True)
        return any(mended)

    def _end(self, event: dict[str, Any]) -> list[dict[str, Any]] | None:
        """An end without a reason is given one."""
        self._is_over = True
        if self._stopped or self._place < 0:
            return None
        delta = {"stop_reason": self._reason(), "stop_sequence": None}
        return [{"type": "message_delta", "delta": delta, "usage": {}}, event]

    def _counted(self, event: dict[str, Any]) -> bool:
        """Tell at the end what the beginning, which is not passed on, said of usage."""
        if self._usage:
            event["usage"] = self._usage | mapping(event.get("usage"))
        return bool(self._usage)

    def _reason(self) -> str:
        return _CALL if self._has_calls else "end_turn"

    def _block(self, kind: Any, event: dict[str, Any]) -> bool:
        """Put an event of a block right; whether there was something to do."""
        before = event.get("index")
        place = _place(before)
        if kind == "content_block_start":
            self._place = self._place + 1 if place is None else place
        event["index"] = self._after + (max(self._place, 0) if place is None else place)
        block = mapping(event.get("content_block"))
        is_mended = self._call(block) if kind_of(block) == _CALL else False
        return self._delta(mapping(event.get("delta"))) or is_mended or event["index"] != before

    def _call(self, block: dict[str, Any]) -> bool:
        self._has_calls = True
        before = block.get("id"), block.get("input")
        block["id"] = self._ids.given(block.get("id"))
        block["input"] = block["input"] if isinstance(block.get("input"), dict) else {}
        return before != (block["id"], block["input"])

    def _delta(self, delta: dict[str, Any]) -> bool:
        """A delta's text is one."""
        name = TEXTS.get(kind_of(delta))
        if name is None or isinstance(delta.get(name), str):
            return False
        delta[name] = written_arguments(delta.get(name))
        return True


def _place(index: Any) -> int | None:
    return index if isinstance(index, int) and not isinstance(index, bool) and index >= 0 else None
