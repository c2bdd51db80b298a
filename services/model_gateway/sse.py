"""Server-sent events, cut out of a stream of bytes and written into one."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from services.model_gateway.bounds import AnswerTooLarge
from services.storable import storable_value

DONE = b"[DONE]"
#: Values that may have as many levels are tried out: orjson writes 254, and a journal's step is some of them.
_LEVELS_TRIED, _LEVELS_AROUND = 120, 100
#: Bytes of one event: no answer has that many.
_LARGEST_EVENT = 16 * 1024 * 1024
_NUL = b"\\u0000"


class Event(NamedTuple):
    """One event: its bytes, to be passed on as they are, its data (`DONE` at the mark of the end), and its name.

    `is_odd`: there may be something in it that cannot be stored.
    """

    raw: bytes
    data: Any
    name: str = ""
    is_odd: bool = False


class EventReader:
    """Reads events out of pieces of a stream, wherever they are cut, in a time that grows with their length only.

    Raises:
        ValueError: an event's data is no JSON.
        AnswerTooLarge: an event is larger than any that is taken.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._seen = 0
        self._return = b""

    def feed(self, piece: bytes) -> list[Event]:
        """The events that the piece completes; comments, and events without a word, are left out."""
        piece = self._return + piece
        self._return = b"\r" if piece.endswith(b"\r") else b""
        self._rest += piece.removesuffix(b"\r").replace(b"\r\n", b"\n")
        found = [event for block in self._blocks() if (event := _read(block)) is not None]
        if len(self._rest) > _LARGEST_EVENT:
            raise AnswerTooLarge(f"an event is larger than {_LARGEST_EVENT} bytes, the most that is taken")
        return found

    def end(self) -> list[Event]:
        """What is left where the last blank line is missing."""
        return self.feed(b"\n\n")

    def _blocks(self) -> Iterator[bytes]:
        while (at := self._rest.find(b"\n\n", self._seen)) >= 0:
            block = bytes(self._rest[:at])
            del self._rest[: at + 2]
            self._seen = 0
            yield block
        self._seen = max(len(self._rest) - 1, 0)


def written(data: Any, name: str = "") -> bytes:
    """One event of JSON data."""
    head = b"event: %b\n" % name.encode() if name else b""
    return b"%bdata: %b\n\n" % (head, orjson.dumps(data))


def loads(text: bytes) -> Any:
    """JSON, made storable.

    Raises:
        ValueError: it is none, or nested too deeply.
    """
    value, is_odd = parsed(text)
    return storable_value(value) if is_odd else value


def parsed(text: bytes) -> tuple[Any, bool]:
    """JSON as it came, and whether something may be in it that cannot be stored."""
    try:
        value, is_odd = orjson.loads(text), _NUL in text
    except orjson.JSONDecodeError:
        value, is_odd = json.loads(text.decode(errors="replace"), strict=False), True
    if text.count(b"[") + text.count(b"{") > _LEVELS_TRIED and _is_deep(value):
        raise ValueError("it is nested too deeply")
    return value, is_odd


def _read(block: bytes) -> Event | None:
    if block.startswith(b"data:") and b"\n" not in block:
        name, data = "", block[5:].strip()
    else:
        lines = block.split(b"\n")
        name = next((line[6:].strip().decode(errors="replace") for line in lines if line.startswith(b"event:")), "")
        data = b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))
    if data == DONE:
        return Event(block + b"\n\n", DONE)
    value, is_odd = parsed(data) if data else (None, False)
    return Event(block + b"\n\n", value, name, is_odd) if value else None


def _is_deep(value: Any) -> bool:
    """Whether a value has more levels than can be written, within those that it gets around it."""
    for _ in range(_LEVELS_AROUND):
        value = [value]
    try:
        orjson.dumps(value)
    except TypeError:
        return True
    return False
