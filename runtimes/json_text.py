"""Strict JSON: what the standard parser lets through and we refuse, each with its place in the document."""

import json
from dataclasses import dataclass
from math import isinf
from typing import Any

from pydantic import BaseModel

#: How deep objects and arrays may be nested.
MAX_DEPTH = 64

#: Whole numbers of at most this many characters fit into 64 bits.
SAFE_DIGITS = 18

INT64 = range(-(2**63), 2**63)


class JsonFault(BaseModel):
    """The first fault of a JSON text: the API's code for it, and where it is."""

    code: str
    detail: str
    field: str | None = None
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True)
class Faulty:
    """A value from a text that has a fault; readers that are not strict may take it all the same."""

    value: Any
    fault: JsonFault


class _Found(Exception):
    def __init__(self, fault: JsonFault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


class _Wrong:
    """Stands in the parsed document where something is wrong."""

    def __init__(self, code: str, detail: str, key: str | None = None) -> None:
        self.code = code
        self.detail = detail
        self.key = key


def find_fault(raw: bytes, *, of_object: bool = False) -> JsonFault | None:
    """Find the first thing in a JSON text that the API cannot take; `of_object`: it has to be an object."""
    try:
        _check(_decoded(raw), of_object=of_object)
    except _Found as found:
        return found.fault
    return None


def value_of(given: Any) -> Any:
    """The value, whether its text had a fault or not."""
    return given.value if isinstance(given, Faulty) else given


def _check(text: str, *, of_object: bool) -> None:
    hooks = _Hooks()
    document = _parsed(text, hooks)
    if of_object and not isinstance(document, dict | _Wrong):
        raise _found("type_error", "The body must be a JSON object.", "/")
    if hooks.found or "\\u" in text or text.count("[") + text.count("{") > MAX_DEPTH:
        _inspect(document)


def _found(code: str, detail: str, field: str | None = None) -> _Found:
    return _Found(JsonFault(code=code, detail=detail, field=field))


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise _found("body_not_utf8", f"Byte {error.start} is no UTF-8.") from None


def _parsed(text: str, hooks: "_Hooks") -> Any:
    try:
        return hooks.decoder.decode(text)
    except json.JSONDecodeError as error:
        detail = f"{error.msg} at line {error.lineno}, column {error.colno}."
        fault = JsonFault(code="json_invalid", detail=detail, line=error.lineno, column=error.colno)
        raise _Found(fault) from None
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
        return _Wrong("json_duplicate_key", "The key occurs more than once.", twice)

    def _int(self, digits: str) -> Any:
        if len(digits) <= SAFE_DIGITS or (len(digits) <= SAFE_DIGITS + 2 and int(digits) in INT64):
            return int(digits)
        return self._not_finite(digits)

    def _float(self, digits: str) -> Any:
        number = float(digits)
        return self._not_finite(digits) if isinf(number) else number

    def _not_finite(self, _digits: str) -> _Wrong:
        self.found = True
        return _Wrong("number_out_of_range", "The number is too large or not finite.")


def _inspect(document: Any) -> None:
    rest: list[tuple[Any, tuple[str, ...]]] = [(document, ())]
    while rest:
        value, path = rest.pop()
        if isinstance(value, _Wrong):
            raise _found(value.code, value.detail, _pointer(path if value.key is None else (*path, value.key)))
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
        raise _found("text_nul", "The text contains the character U+0000.", _pointer(path))
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _found("text_not_utf8", "The text contains half of a surrogate pair.", _pointer(path)) from None


def _too_deep() -> _Found:
    return _found("json_too_deep", f"Objects and arrays may be nested {MAX_DEPTH} deep.")


def _pointer(path: tuple[str, ...]) -> str:
    escaped = (part.replace("~", "~0").replace("/", "~1") for part in path)
    return "/" + "/".join(part.encode("utf-8", "backslashreplace").decode()[:80] for part in escaped)
