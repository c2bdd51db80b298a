"""What a wire has to know: how to read a request, and how to write an answer."""

import json
from collections.abc import Sequence
from typing import Any, Protocol

import orjson

from services.scripted_model.actions import FinishReason, Thoughts, ToolCall, Usage
from services.scripted_model.conversation import Conversation
from services.scripted_model.errors import Problem

#: The first halves of characters that UTF-16 writes as two.
_FIRST_HALF, _LAST_HALF = "\ud800", "\udbff"


class Writer(Protocol):
    """Writes one answer. All but `whole` are pieces of a server-sent event stream."""

    def opening(self, usage: Usage) -> bytes:
        """The beginning of a stream; some tell there already what has gone in."""
        ...

    def text(self, piece: str, *, is_refusal: bool) -> bytes: ...

    def think(self, thoughts: Thoughts) -> bytes: ...

    def tool_calls(self, calls: Sequence[ToolCall]) -> bytes: ...

    def closing(self, finish: FinishReason, usage: Usage) -> bytes: ...

    def error(self, problem: Problem) -> bytes: ...

    def whole(
        self,
        thoughts: Sequence[Thoughts],
        text: str,
        calls: Sequence[ToolCall],
        finish: FinishReason,
        usage: Usage,
    ) -> bytes:
        """The body of an answer that is not streamed."""
        ...


class Reader(Protocol):
    """Reads requests, and refuses them in the wire's words."""

    @property
    def name(self) -> str: ...

    @property
    def request_id_header(self) -> str: ...

    def read(self, body: bytes) -> Conversation:
        """Understand a request's body. Raises ModelError (400) when it is not one of this wire."""
        ...

    def error(self, problem: Problem) -> bytes:
        """The body of an error answer."""
        ...


class Wire(Reader, Protocol):
    def writer(self, conversation: Conversation) -> Writer: ...


def event(data: bytes, name: bytes | None = None) -> bytes:
    """One server-sent event."""
    return b"data: %b\n\n" % data if name is None else b"event: %b\ndata: %b\n\n" % (name, data)


def halves(text: str) -> tuple[str, str]:
    """Tool arguments come in pieces, so that callers must join them; a torn character's halves come apart."""
    torn = next((at for at, character in enumerate(text) if _FIRST_HALF <= character <= _LAST_HALF), None)
    middle = len(text) // 2 if torn is None else torn + 1
    return text[:middle], text[middle:]


def dumps(value: Any) -> bytes:
    """JSON; halves of torn characters, which UTF-8 does not know, become escapes."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


def named(prefix: str, call: ToolCall, field: str = "id") -> dict[str, str]:
    """The id of a call on a wire, where it has one."""
    return {} if call.id is None else {field: f"{prefix}{call.id}" if call.id else ""}
