"""Puts responses right: ids and arguments of tool calls, wherever they are told."""

from typing import Any, cast

from services.model_gateway.wires.mending import CallIds, Mender, written_arguments
from services.model_gateway.wires.wire import kind_of, mapping

#: Items that are calls, and where their arguments are.
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_DONE = {
    "response.function_call_arguments.done": "arguments",
    "response.custom_tool_call_input.done": "input",
}
_DELTAS = ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")


class ResponseMender(Mender):
    """Tells each call's id alike in every event that has it."""

    def __init__(self, ids: CallIds) -> None:
        self._ids = ids
        self._known: dict[Any, str] = {}

    def mend(self, event: dict[str, Any], name: str) -> list[dict[str, Any]] | None:
        is_mended = False
        if not isinstance(event.get("type"), str) and name:
            event["type"] = name
            is_mended = True
        kind = kind_of(event)
        if kind in _DELTAS and not isinstance(event.get("delta"), str):
            event["delta"] = written_arguments(event.get("delta"))
            is_mended = True
        if field := _DONE.get(kind):
            is_mended |= _as_text(event, field)
        is_mended |= self._item(mapping(event.get("item")), event.get("output_index"))
        is_mended |= self.whole(mapping(event.get("response")))
        return [event] if is_mended else None

    def whole(self, body: dict[str, Any]) -> bool:
        output: Any = body.get("output")
        found = cast("list[Any]", output) if isinstance(output, list) else []
        mended = [self._item(mapping(item), at) for at, item in enumerate(found)]
        return any(mended)

    def _item(self, item: dict[str, Any], at: Any) -> bool:
        field = _CALLS.get(kind_of(item))
        if field is None:
            return False
        place = at if isinstance(at, int) else item.get("id") if isinstance(item.get("id"), str) else 0
        before = item.get("call_id")
        item["call_id"] = self._known.setdefault(place, "") or self._ids.given(before)
        self._known[place] = item["call_id"]
        return _as_text(item, field) or item["call_id"] != before


def _as_text(holder: dict[str, Any], field: str) -> bool:
    if isinstance(holder.get(field), str):
        return False
    holder[field] = written_arguments(holder.get(field))
    return True
