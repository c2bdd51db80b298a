"""Where an agent's definition may hold secrets, as it is stored and travels: JSON, whatever wrote it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

#: Fields of an MCP server that hold values by name.
_BY_NAME = ("env", "headers")


class Place(NamedTuple):
    """One value of a definition: a text, or a reference to a secret; `label` says in words whose it is."""

    label: str
    holder: dict[str, Any]
    key: str

    @property
    def value(self) -> Any:
        """What stands there."""
        return self.holder[self.key]


def places_in(toolsets: Sequence[Any]) -> Iterator[Place]:
    """All places of the toolsets at which a secret may stand."""
    for toolset in map(_mapping, toolsets):
        servers = _mapping(toolset.get("servers")) if toolset.get("type") == "mcp" else {}
        for name, server in servers.items():
            yield from _places_of(name, _mapping(server))


def _places_of(name: str, server: dict[str, Any]) -> Iterator[Place]:
    for field in _BY_NAME:
        values = _mapping(server.get(field))
        for key in values:
            yield Place(f"{name}.{key}", values, key)
    if server.get("query") is not None:
        yield Place(f"{name}.query", server, "query")


def references_in(toolsets: Sequence[Any]) -> set[str]:
    """The names of the secrets that toolsets refer to."""
    values = (place.value for place in places_in(toolsets))
    return {name for value in values if isinstance(name := _mapping(value).get("secret"), str)}


def _mapping(given: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", given) if isinstance(given, dict) else {}


def spec_references(spec: Mapping[str, Any]) -> set[str]:
    """The names of the secrets that a stored agent refers to."""
    return references_in(spec.get("toolsets") or ())
