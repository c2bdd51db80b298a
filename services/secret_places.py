"""The places where an agent's definition may hold secrets, as it is stored and travels: JSON, whatever wrote it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from runtimes.secret_references import secret_named

#: Fields of an MCP server that hold values by name.
_BY_NAME = ("env", "headers")


class Place(NamedTuple):
    """One value of a definition: a text, or a reference to a secret; `label` says in words whose it is."""

    label: str
    holder: dict[str, Any]
    key: str

    @property
    def value(self) -> Any:
        """Read the value there."""
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


def settings_in(configuration: Mapping[str, Any], names: Collection[str]) -> Iterator[Place]:
    """The places of a runtime's settings that are secret, by their `names`."""
    settings = _mapping(configuration.get("runtime_config"))
    yield from (Place(f"runtime_config.{name}", settings, name) for name in sorted(names) if name in settings)


def references_in(toolsets: Sequence[Any], configuration: Mapping[str, Any]) -> set[str]:
    """The names of the secrets that a definition refers to."""
    places = [*places_in(toolsets), *settings_in(configuration, _mapping(configuration.get("runtime_config")))]
    return {name for place in places if (name := secret_named(place.value)) is not None}


def _mapping(given: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", given) if isinstance(given, dict) else {}
