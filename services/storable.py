"""Values as the database can store them: PostgreSQL takes neither U+0000 nor lone surrogates, both become U+FFFD."""

import re
from math import isfinite
from typing import Any, cast

#: U+0000 as JSON writes it; an even number of backslashes before it escapes themselves.
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
#: The integers that JSON's readers and writers agree on.
_INTEGERS = range(-(2**63), 2**64)
_TOO_LARGE = 2**1023


def storable(text: str) -> str:
    """The text without what cannot be stored."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def storable_value(value: Any) -> Any:
    """The JSON value with all its texts and names storable; so are the numbers."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [storable_value(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {storable(name): storable_value(item) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value)
    return value


def _number(value: float) -> float | None:
    """The number; one that no JSON reader holds becomes a float, or None."""
    if isinstance(value, int):
        return value if value in _INTEGERS else float(value) if abs(value) < _TOO_LARGE else None
    return value if isfinite(value) else None


def storable_json(text: bytes) -> bytes:
    """JSON text, as orjson writes it, without what cannot be stored: surrogates are not in it."""
    return _NUL.sub(rb"\1\\ufffd", text) if b"\\u0000" in text else text
