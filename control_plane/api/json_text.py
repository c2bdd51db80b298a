"""Strict JSON: what the standard parser lets through and we refuse, each with its place in the body."""

import json
from math import isinf
from typing import Any

from control_plane.errors import (
    BodyNotUtf8,
    HoldfastError,
    JsonDuplicateKey,
    JsonInvalid,
    JsonTooDeep,
    NumberOutOfRange,
    TextNotUtf8,
    TextNul,
    TypeMismatch,
)

#: How deep objects and arrays may be nested.
MAX_DEPTH = 64

#: Whole numbers of at most this many characters fit into 64 bits.
SAFE_DIGITS = 18

INT64 = range(-(2**63), 2**63)


class _Wrong:
    """Stands in the parsed document where something is wrong."""

    def __init__(self, error: type[HoldfastError], detail: str, key: str | None = None) -> None:
        self.error = error
        self.detail = detail
        self.key = key


def check_json_object(raw: bytes) -> None:
    """Let pass what is one JSON object that the API can take.

    Raises:
        BodyNotUtf8, JsonInvalid, JsonDuplicateKey, JsonTooDeep: with line and column, or the place.
        TypeMismatch: the document is no object.
        NumberOutOfRange, TextNul, TextNotUtf8: with the place.
    """
    text = _decoded(raw)
    hooks = _Hooks()
    document = _parsed(text, hooks)
    if not isinstance(document, dict | _Wrong):
        raise TypeMismatch("The body must be a JSON object.", field="/")
    if hooks.found or "\\u" in text or text.count("[") + text.count("{") > MAX_DEPTH:
        _inspect(document)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BodyNotUtf8(f"Byte {error.start} of the body is no UTF-8.") from None


def _parsed(text: str, hooks: "_Hooks") -> Any:
    try:
        return hooks.decoder.decode(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise JsonInvalid(f"{error.msg} at {place}.", line=error.lineno, column=error.colno) from None
    except RecursionError:
        raise _too_deep() from None


class _Hooks:
    """The parser with hooks that mark what it would let pass silently."""

    def __init__(self) -> None:
        self.found = False
        self.decoder = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_int=self._int,
            parse_float=self._float,
            parse_constant=self._not_finite,
        )

    def _object(self, pairs: list[tuple[str, Any]]) -> Any:
        members = dict(pairs)
        if len(members) == len(pairs):
            return members
        self.found = True
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        return _Wrong(JsonDuplicateKey, "The key occurs more than once.", twice)

    def _int(self, digits: str) -> Any:
        if len(digits) <= SAFE_DIGITS or (len(digits) <= SAFE_DIGITS + 2 and int(digits) in INT64):
            return int(digits)
        return self._not_finite(digits)

    def _float(self, digits: str) -> Any:
        number = float(digits)
        return self._not_finite(digits) if isinf(number) else number

    def _not_finite(self, _digits: str) -> _Wrong:
        self.found = True
        return _Wrong(NumberOutOfRange, "The number is too large or not finite.")


def _inspect(document: Any) -> None:
    rest: list[tuple[Any, tuple[str, ...]]] = [(document, ())]
    while rest:
        value, path = rest.pop()
        if isinstance(value, _Wrong):
            raise value.error(value.detail, field=_pointer(path if value.key is None else (*path, value.key)))
        if isinstance(value, str):
            _check_text(value, path)
        elif isinstance(value, dict | list):
            if len(path) >= MAX_DEPTH:
                raise _too_deep()
            rest.extend(_children(value, path))


def _children(value: Any, path: tuple[str, ...]) -> list[tuple[Any, tuple[str, ...]]]:
    if isinstance(value, list):
        items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return [(item, (*path, str(index))) for index, item in enumerate(items)]
    members: dict[str, Any] = value
    for name in members:
        _check_text(name, (*path, name))
    return [(member, (*path, name)) for name, member in members.items()]


def _check_text(text: str, path: tuple[str, ...]) -> None:
    if "\x00" in text:
        raise TextNul("The text contains the character U+0000.", field=_pointer(path))
    try:
        text.encode()
    except UnicodeEncodeError:
        raise TextNotUtf8("The text contains half of a surrogate pair.", field=_pointer(path)) from None


def _too_deep() -> JsonTooDeep:
    return JsonTooDeep(f"Objects and arrays may be nested {MAX_DEPTH} deep.")


def _pointer(path: tuple[str, ...]) -> str:
    escaped = (part.replace("~", "~0").replace("/", "~1") for part in path)
    return "/" + "/".join(part.encode("utf-8", "backslashreplace").decode()[:80] for part in escaped)
