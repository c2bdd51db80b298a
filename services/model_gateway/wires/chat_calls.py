"""Tool calls of chat completions, put together from pieces that providers cut and label in many ways."""

from collections.abc import Sequence
from typing import Any

from services.model_gateway.wires.arguments import Arguments
from services.model_gateway.wires.mending import CallIds, written_arguments
from services.model_gateway.wires.wire import items, mapping, word

#: Where a call's name and its arguments are, by its type.
_ARGUMENTS = {"function": "arguments", "custom": "input"}
#: Characters from which on a name in pieces is no name.
_LONGEST_NAME = 1000


class _Call:
    """One call as far as it has come; `more` are the fields that this module knows nothing of."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.wanted_id = ""
        self.kind = "function"
        self.name = ""
        self.arguments = Arguments()
        self.more: dict[str, Any] = {}
        self.inner: dict[str, Any] = {}

    def add(self, piece: dict[str, Any]) -> None:
        """Take a piece of the call."""
        kind, inner = _inner(piece)
        self.kind = kind or self.kind
        self.wanted_id = self.wanted_id or word(piece.get("id"))
        self._name(word(inner.get("name")))
        self._argue(inner.get(_ARGUMENTS[self.kind]))
        self.more |= _others(piece, ("index", "id", "type", *_ARGUMENTS))
        self.inner |= _others(inner, ("name", _ARGUMENTS[self.kind]))

    def is_named(self, name: str, wanted_id: str) -> bool:
        """Whether a name, or an id, is the call's."""
        return name == self.name or (bool(wanted_id) and wanted_id == self.wanted_id)

    def as_call(self, call_id: str, index: int | None, *, is_cut: bool) -> dict[str, Any]:
        """The call as it should have come; one without arguments has none, unless it was cut off."""
        at = {} if index is None else {"index": index}
        empty = "{}" if self.kind == "function" and not is_cut else ""
        told = {"name": self.name, _ARGUMENTS[self.kind]: self.arguments.text or empty}
        return {**at, "id": call_id, "type": self.kind, self.kind: {**told, **self.inner}, **self.more}

    def _name(self, name: str) -> None:
        if not self.arguments and self.name and name != self.name and len(self.name) < _LONGEST_NAME:
            self.name += name
        self.name = self.name or name

    def _argue(self, arguments: Any) -> None:
        if isinstance(arguments, dict):
            self.arguments.replace(written_arguments(arguments))
        else:
            self.arguments.add(written_arguments(arguments))


class ChatCalls:
    """The calls of one choice, in the order in which they began."""

    def __init__(self, ids: CallIds) -> None:
        self._ids = ids
        self._begin()

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, piece: dict[str, Any]) -> None:
        """Take a piece, wherever it belongs."""
        index = _index(piece)
        call = self._of(piece, index)
        if call is None:
            call = _Call(len(self._calls))
            self._calls.append(call)
            self._by_index[call.place if index is None else index] = call
        call.add(piece)
        latest = self._by_id.get(call.wanted_id)
        if latest is None or latest.place < call.place:
            self._by_id[call.wanted_id] = call

    def whole(self, calls: Sequence[dict[str, Any]], *, is_cut: bool) -> list[dict[str, Any]]:
        """The calls of an answer that came whole: each is one."""
        for piece in calls:
            self._calls.append(_Call(len(self._calls)))
            self._calls[-1].add(piece)
        return self.taken(is_indexed=False, is_cut=is_cut)

    def taken(self, *, is_indexed: bool, is_cut: bool) -> list[dict[str, Any]]:
        """The calls as they should have come; there are none left here."""
        calls = self._calls
        self._begin()
        return [
            call.as_call(self._ids.given(call.wanted_id), at if is_indexed else None, is_cut=is_cut)
            for at, call in enumerate(calls)
        ]

    @property
    def are_whole(self) -> bool:
        """Whether the arguments of all calls are there."""
        return all(not call.arguments or call.kind != "function" or call.arguments.are_whole for call in self._calls)

    def _begin(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[Any, _Call] = {}
        self._by_id: dict[str, _Call] = {}

    def _of(self, piece: dict[str, Any], index: Any) -> _Call | None:
        """The call that a piece goes on with; None if it begins another one."""
        known = self._known(word(piece.get("id")), index)
        return known if known is not None and not _begins(piece, known) else None

    def _known(self, wanted: str, index: Any) -> _Call | None:
        """The latest call with the piece's index; without one that with its id, else the last call."""
        if index is not None:
            return self._by_index.get(index)
        same = self._by_id.get(wanted) if wanted else None
        return same or (self._calls[-1] if self._calls else None)


def _begins(piece: dict[str, Any], known: _Call) -> bool:
    """Whether a piece that could go on with a call begins another one: it names a tool, and the call is another."""
    _, inner = _inner(piece)
    name = word(inner.get("name"))
    if not name:
        return False
    is_whole = known.arguments.are_whole
    if name == known.name and known.arguments and not is_whole:
        return False
    wanted = word(piece.get("id"))
    has_another_id = len({wanted, known.wanted_id} - {""}) > 1
    argues = bool(inner.get(_ARGUMENTS[known.kind]))
    return has_another_id or (is_whole and (argues or not known.is_named(name, wanted)))


def _inner(piece: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    kind = next((kind for kind in _ARGUMENTS if mapping(piece.get(kind))), "")
    return kind, mapping(piece.get(kind)) if kind else {}


def _others(holder: dict[str, Any], known: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in holder.items() if name not in known and value is not None}


def _index(piece: dict[str, Any]) -> Any:
    index = piece.get("index")
    return index if isinstance(index, int | str) else None


def pieces_of(delta: dict[str, Any]) -> list[dict[str, Any]]:
    """The pieces of tool calls that a delta brings; they are taken out of it."""
    return items(delta.pop("tool_calls", None))
