"""Server-sent events, cut out of a stream of bytes and written into one."""

import json
from typing import Any, NamedTuple

import orjson

DONE = b"[DONE]"


class Event(NamedTuple):
    """One event: its bytes, to be passed on as they are, and what its data say: None for `[DONE]`."""

    raw: bytes
    data: Any


class EventReader:
    """Reads events out of pieces of a stream, wherever they are cut.

    Raises:
        ValueError: an event's data is no JSON.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[Event]:
        """The events that the piece completes; comments are left out."""
        *blocks, self._rest = (self._rest + piece).replace(b"\r\n", b"\n").split(b"\n\n")
        return [event for block in blocks if (event := _read(block)) is not None]

    def end(self) -> list[Event]:
        """What is left where the last blank line is missing."""
        return self.feed(b"\n\n")


def written(data: Any, name: str = "") -> bytes:
    """One event of JSON data."""
    head = b"event: %b\n" % name.encode() if name else b""
    return b"%bdata: %b\n\n" % (head, orjson.dumps(data))


def loads(text: bytes) -> Any:
    """JSON, half surrogate pairs replaced: those can be neither stored nor written again."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return orjson.loads(json.dumps(_whole(json.loads(text))))


def _read(block: bytes) -> Event | None:
    if block.startswith(b"data:") and b"\n" not in block:
        data = block[5:].strip()
    elif lines := [line for line in block.split(b"\n") if line.startswith(b"data:")]:
        data = b"\n".join(line[5:].strip() for line in lines)
    else:
        return None
    return Event(block + b"\n\n", None if data == DONE else loads(data))


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {name: _whole(item) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return value
