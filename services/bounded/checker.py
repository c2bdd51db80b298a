"""Checks values against a tenant's JSON schema: at once where that is surely cheap, else in a process of its own."""

import json
from collections.abc import Mapping
from typing import Any

import orjson

from services.bounded.process import BoundedProcesses
from services.bounded.schemas import compiled, first_mistakes, shape_of

#: Schemas times bytes of the value: what is below is checked within some milliseconds.
_CHEAP = 2_000_000
#: Bytes of a value times regular expressions, and bytes where one of these is large.
_CHEAP_PATTERNS = 200_000
_CHEAP_HEAVY = 4_000


class Checker:
    """A usable schema.

    Raises:
        ValueError: it is no JSON schema, too large, or refers to something outside of it.
    """

    def __init__(self, schema: Mapping[str, Any], processes: BoundedProcesses) -> None:
        self._schema = schema
        self._shape = shape_of(schema)
        self._validator = compiled(schema)
        self._processes = processes

    async def mistakes(self, value: Any, most: int, length: int) -> list[tuple[str, str]]:
        """Find the places where the value does not fit, and why: the first `most`, in `length` characters each.

        Raises:
            ValueError: the value is none that JSON has.
            WorkUnbounded: it takes too much time or memory to find out.
        """
        written = _written(value)
        if self._is_cheap(len(written)):
            return first_mistakes(self._validator, value, most, length)
        payload = b"[" + _written(self._schema) + b"," + written + b"]"
        return [(where, why) for where, why in await self._processes.run("mistakes", payload, most=most, length=length)]

    def _is_cheap(self, size: int) -> bool:
        if self._shape.is_recursive or self._shape.size * size > _CHEAP:
            return False
        if self._shape.has_heavy_patterns:
            return size <= _CHEAP_HEAVY
        return len(self._shape.patterns) * size <= _CHEAP_PATTERNS


def check_schema(schema: Mapping[str, Any]) -> None:
    """Accept a schema that can be used.

    Raises:
        ValueError: as `Checker`.
    """
    shape_of(schema)
    compiled(schema)


def _written(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except (orjson.JSONEncodeError, TypeError):
        return _written_slowly(value)


def _written_slowly(value: Any) -> bytes:
    """Numbers of any length, and strings with halves of characters, are JSON too."""
    try:
        return json.dumps(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"It is no JSON: {error}"[:300]) from error
