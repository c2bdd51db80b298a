"""Tool calls of an answer over chat completions, put together from the pieces in which they are streamed."""

from collections.abc import Sequence
from typing import Any

from runtimes.tool_calls import RequestedCall


class CallPieces:
    """Pieces are those of the SDK's `ChoiceDelta.tool_calls`; an id or a name that comes twice counts once."""

    def __init__(self) -> None:
        self._calls: dict[int, list[str]] = {}

    def add(self, pieces: Sequence[Any] | None) -> None:
        """Take what a chunk brought, which may be nothing."""
        for piece in pieces or ():
            self._add(piece.index, piece.id, piece.function)

    def calls(self) -> list[RequestedCall]:
        """The tool calls, each in one piece."""
        return [RequestedCall(*self._calls[index]) for index in sorted(self._calls)]

    def _add(self, index: int, call_id: str | None, function: Any) -> None:
        known = self._calls.setdefault(index, ["", "", ""])
        known[0] = known[0] or call_id or ""
        if function is not None:
            known[1] = known[1] or function.name or ""
            known[2] += function.arguments or ""
