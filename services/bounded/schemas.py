"""JSON schemas that nobody trusts: how large one is, before a library takes it, and how dear a value's check can be."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote

import jsonschema_rs
import orjson

#: Bytes of a schema as JSON, levels through all references, and schemas once each reference is replaced by its target.
BYTES = 512 * 1024
DEPTH = 100
EXPANDED = 10_000
#: Regular expressions of a schema: all of them, those that are no light ones, and the bytes that either compiles to.
PATTERNS = 200
HEAVY_PATTERNS = 10
_LIGHT = jsonschema_rs.RegexOptions(size_limit=200_000)
_HEAVY = jsonschema_rs.RegexOptions(size_limit=10_000_000)
#: Keywords whose values are schemas by name, data, or schemas that stand there to be referred to.
_BY_NAME = ("properties", "patternProperties", "dependentSchemas", "dependencies")
_DATA = ("enum", "const", "default", "examples")
_DEFINITIONS = ("$defs", "definitions")
#: Keywords that give a reference another meaning than its place in the document.
_UNCLEAR = ("$dynamicRef", "$recursiveRef")
_TYPES = "array, boolean, integer, null, number, object, string"
#: Bytes of data that count as much as one schema.
_DATA_BYTES = 16


@dataclass(slots=True)
class Shape:
    """A schema's size, all references replaced, and what makes a check dear beside it."""

    size: int = 0
    is_recursive: bool = False
    patterns: set[str] = field(default_factory=set[str])
    has_heavy_patterns: bool = False


def shape_of(schema: Mapping[str, Any]) -> Shape:
    """Measure a schema, in a time that is bounded whatever it is.

    Raises:
        ValueError: it is too large, or refers to something that is not in its own document.
    """
    size = len(_json(schema))
    if size > BYTES:
        raise ValueError(f"it has {size} bytes, and {BYTES} are the most")
    walk = _Walk(schema)
    walk.into(schema, 0)
    walk.shape.has_heavy_patterns = _has_heavy(walk.shape.patterns)
    return walk.shape


def compiled(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """A validator; the schema's shape has to be known.

    Raises:
        ValueError: it is no JSON schema, or refers to something outside of it.
    """
    try:
        return jsonschema_rs.validator_for(dict(schema), retriever=_refuse, pattern_options=_HEAVY)
    except jsonschema_rs.ValidationError as error:
        raise ValueError(_in_a_line(error)) from error


class _Walk:
    """Goes through a schema as a validator does: a reference is its target, unless it is within that already."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.shape = Shape()
        self._document = document
        self._within: set[int] = set()

    def into(self, schema: Mapping[str, Any], depth: int) -> None:
        if id(schema) in self._within:
            self.shape.is_recursive = True
            return
        if depth > DEPTH:
            raise ValueError(f"it is nested more than {DEPTH} levels deep")
        self._count(1)
        self._within.add(id(schema))
        for keyword, value in schema.items():
            self._keyword(schema, keyword, value, depth)
        self._within.discard(id(schema))

    def _keyword(self, schema: Mapping[str, Any], keyword: str, value: Any, depth: int) -> None:
        self._check_clear(schema, keyword, value)
        if keyword == "$ref" and isinstance(value, str):
            self.into(_target(self._document, value), depth + 1)
        elif keyword in _DATA:
            self._count(len(_json(value)) // _DATA_BYTES)
        elif keyword == "pattern" and isinstance(value, str):
            self.shape.patterns.add(value)
        elif keyword not in _DEFINITIONS:
            self._below(keyword, value, depth)

    def _check_clear(self, schema: Mapping[str, Any], keyword: str, value: Any) -> None:
        has_base = keyword == "$id" and isinstance(value, str) and schema is not self._document
        if keyword in _UNCLEAR or has_base:
            raise ValueError(f"it must not contain '{keyword}'; write references as '#/$defs/name'")

    def _below(self, keyword: str, value: Any, depth: int) -> None:
        if keyword == "patternProperties" and isinstance(value, dict):
            self.shape.patterns.update(cast("dict[str, Any]", value))
        for each in _schemas(value, by_name=keyword in _BY_NAME):
            self.into(each, depth + 1)

    def _count(self, more: int) -> None:
        self.shape.size += more
        if self.shape.size > EXPANDED:
            raise ValueError(f"it stands for more than {EXPANDED} schemas, once each $ref is replaced by its target")


def _schemas(value: Any, *, by_name: bool) -> Iterator[Mapping[str, Any]]:
    """The schemas that a keyword's value is, or holds."""
    held: list[Any] = [value]
    if isinstance(value, list):
        held = cast("list[Any]", value)
    elif by_name and isinstance(value, dict):
        held = [*cast("dict[str, Any]", value).values()]
    for each in held:
        if isinstance(each, dict):
            yield cast("dict[str, Any]", each)


def _target(document: Mapping[str, Any], reference: str) -> Mapping[str, Any]:
    if reference != "#" and not reference.startswith("#/"):
        raise ValueError(f"it must not refer to '{reference[:200]}'; references are written as '#/$defs/name'")
    found: Any = document
    for step in unquote(reference).split("/")[1:]:
        found = _step(found, step.replace("~1", "/").replace("~0", "~"))
    if isinstance(found, bool):
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"there is no schema at '{reference[:200]}'")
    return cast("dict[str, Any]", found)


def _step(within: Any, step: str) -> Any:
    if isinstance(within, dict):
        return cast("dict[str, Any]", within).get(step)
    if isinstance(within, list) and re.fullmatch(r"[0-9]{1,6}", step):
        each = cast("list[Any]", within)
        return each[int(step)] if int(step) < len(each) else None
    return None


def _has_heavy(patterns: set[str]) -> bool:
    """Whether some are large; more of them than there may be are refused."""
    if len(patterns) > PATTERNS:
        raise ValueError(f"it has more than {PATTERNS} regular expressions")
    heavy = [pattern for pattern in sorted(patterns) if not _is_light(pattern)]
    if len(heavy) > HEAVY_PATTERNS:
        raise ValueError(f"more than {HEAVY_PATTERNS} of its regular expressions are large: '{heavy[0][:100]}'")
    return bool(heavy)


def _in_a_line(error: jsonschema_rs.ValidationError) -> str:
    path = error.instance_path
    is_type = path[-1:] == ["type"] and path[-2:-1] != ["properties"]
    why = f"a type is one of {_TYPES}" if is_type else error.message
    return f"'/{'/'.join(map(str, path))}' is not valid: {why}"


def _is_light(pattern: str) -> bool:
    """Whether it compiles to little; one that is none at all is told when the schema is compiled."""
    try:
        jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=_LIGHT)
    except ValueError:
        return False
    return True


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except (orjson.JSONEncodeError, TypeError) as error:
        raise ValueError(f"it is no JSON: {error}") from error


def _refuse(uri: str) -> Any:
    raise ValueError(f"a schema must not refer to '{uri[:200]}'")


def first_mistakes(validator: jsonschema_rs.Validator, value: Any, most: int, length: int) -> list[tuple[str, str]]:
    """Find the first places where a value does not fit, as JSON pointers, and why."""
    found: list[tuple[str, str]] = []
    for error in validator.iter_errors(value):
        found.append((_pointer(error.instance_path), error.message[:length]))
        if len(found) == most:
            break
    return found


def _pointer(path: Sequence[str | int]) -> str:
    return "/" + "/".join(map(str, path))
