"""Other words with the same meaning: a model that is asked the same again never says the same twice."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import orjson

from services.scripted_model.actions import Action, Text, Thoughts, ToolCall, ToolCalls

#: Stands in an argument for words that differ at each asking.
MARK = "~"
#: Where the halves of a torn character meet.
_BETWEEN_HALVES = re.compile("(?<=[\ud800-\udbff])(?=[\udc00-\udfff])")


def reworded(action: Action, asking: int) -> Action:
    """Word the answer to the asking with this number; the first time as the script has it, but for the marks."""
    match action:
        case Text():
            return replace(action, pieces=_pieces(action.pieces, asking))
        case Thoughts():
            return replace(action, text=f"{action.text}{_again(asking)}")
        case ToolCalls():
            return ToolCalls(tuple(_call(call, asking) for call in action.calls))
        case _:
            return action


def torn(action: Action) -> Action:
    """The same with each character beyond U+FFFF as two halves, in two pieces of a text."""
    match action:
        case Text():
            return replace(action, pieces=tuple(part for piece in action.pieces for part in _parts(piece)))
        case Thoughts():
            return replace(action, text=_as_halves(action.text))
        case ToolCalls():
            return ToolCalls(tuple(replace(call, arguments=_as_halves(call.arguments)) for call in action.calls))
        case _:
            return action


def _parts(piece: str) -> list[str]:
    """A piece, apart where a character is torn."""
    return _BETWEEN_HALVES.split(_as_halves(piece))


def _as_halves(text: str) -> str:
    units = text.encode("utf-16-be", errors="surrogatepass")
    return "".join(chr(units[at] << 8 | units[at + 1]) for at in range(0, len(units), 2))


def _pieces(pieces: Sequence[str], asking: int) -> tuple[str, ...]:
    """JSON is written otherwise, and other text says the number at its end."""
    if asking == 1 or not pieces:
        return tuple(pieces)
    value = _read("".join(pieces))
    if isinstance(value, dict):
        return (_written(cast("dict[str, Any]", value), asking),)
    return (*pieces, _again(asking))


def _call(call: ToolCall, asking: int) -> ToolCall:
    """Its arguments in another order from the second asking on, with other words where a mark stands."""
    value = _read(call.arguments)
    if not isinstance(value, dict):
        return call
    return replace(call, arguments=_written(cast("dict[str, Any]", value), asking))


def _written(value: dict[str, Any], asking: int) -> str:
    items = list(value.items())
    marked = {name: _marked(each, asking) for name, each in (items if asking % 2 else reversed(items))}
    return json.dumps(marked, indent=None if asking == 1 else asking)


def _marked(value: Any, asking: int) -> Any:
    if isinstance(value, str):
        return value.replace(MARK, f"put in words of its own, {asking}")
    if isinstance(value, list):
        return [_marked(each, asking) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {name: _marked(each, asking) for name, each in cast("dict[str, Any]", value).items()}
    return value


def _again(asking: int) -> str:
    return f" (in other words, {asking})" if asking > 1 else ""


def _read(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
