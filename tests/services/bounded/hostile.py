"""Small inputs that make naive work endless."""

from collections.abc import Mapping
from typing import Any


def doubled(levels: int, leaf: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A schema whose every level refers twice to the next one."""
    definitions = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(levels)}
    return {"$defs": {**definitions, f"d{levels}": leaf or {"type": "string"}}, "$ref": "#/$defs/d0"}


def woven(names: int) -> dict[str, Any]:
    """A schema whose every definition refers to all of them."""
    every = [{"$ref": f"#/$defs/d{i}"} for i in range(names)]
    return {"$defs": {f"d{i}": {"allOf": every} for i in range(names)}, "$ref": "#/$defs/d0"}


#: Legal, short, and asked of a deep value without end: either branch looks at all that is below.
TWICE: Mapping[str, Any] = {
    "$defs": {
        "n": {
            "anyOf": [
                {"properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["z"]},
                {"properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["y"]},
            ]
        }
    },
    "$ref": "#/$defs/n",
}
TREE: Mapping[str, Any] = {
    "$defs": {
        "tree": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "below": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
            "required": ["name"],
        }
    },
    "$ref": "#/$defs/tree",
}


def deep(levels: int, key: str = "a") -> dict[str, Any]:
    """A value within a value."""
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {key: value}
    return value


#: Pages of which a parser makes far more than their length.
PAGES: Mapping[str, bytes] = {
    "open tags": b"<p>" + b"<a " * 300_000,
    "nested": b"<b>" * 900 + b"x" * 100_000,
    "open declarations": b"<p>" + b"<![" * 300_000,
}
