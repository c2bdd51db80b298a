"""Takes plain values out of definitions: what goes into the store, and the references that stay."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast
from uuid import UUID

from control_plane.sealing import Keyring
from control_plane.sealing import Place as SealedPlace
from db.migrate import MigrationRefused, MoveSecrets
from services.secret_places import Place, places_in, settings_in

#: Characters of a derived name before its mark.
_NAME_LIMIT = 150
_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PlainValue:
    """A value that stands in a definition, and what it is called in the store."""

    place: Place
    name: str

    @property
    def value(self) -> str:
        """The value itself."""
        return self.place.value

    def take_out(self) -> None:
        """Leave a reference in its place."""
        self.place.holder[self.place.key] = {"secret": self.name}


def places_of(
    toolsets: Sequence[Any],
    configuration: Mapping[str, Any] = MappingProxyType({}),
    secret_settings: Collection[str] = (),
) -> list[Place]:
    """List the places where a definition may hold secrets; of a runtime's settings, those with secret names."""
    _split_queries(toolsets)
    return [*places_in(toolsets), *settings_in(configuration, secret_settings)]


def plain_values(
    keyring: Keyring, organization_id: UUID, owner: str, places: Sequence[Place], salt: str = "0"
) -> list[PlainValue]:
    """The values of an agent or a template that are to be moved.

    A name is the same for the same value at the same place, so that a definition which is sent again changes nothing;
    with another `salt` it is another one.
    """
    return [
        PlainValue(place, _name(keyring, organization_id, owner, place, salt)) for place in places if is_plain(place)
    ]


def is_plain(place: Place) -> bool:
    """Whether a value stands there that is to be moved."""
    return isinstance(place.value, str) and place.value != ""


def mover(keyring: Keyring | None) -> MoveSecrets:
    """Make the function with which `db.migrate` moves the values of stored definitions."""

    def move(organization_id: UUID, owner: str, toolsets: list[Any]) -> list[dict[str, Any]]:
        if keyring is None:
            raise MigrationRefused(
                "Definitions of agents or templates hold plain values of headers, env or query, which are to be sealed,"
                " and there is no key for that. Set HOLDFAST_SECRETS_KEY, for the API too; see docs/secrets.md."
            )
        values = plain_values(keyring, organization_id, owner, places_of(toolsets))
        rows = [_row(keyring, organization_id, value) for value in values]
        for value in values:
            value.take_out()
        return rows

    return move


def _row(keyring: Keyring, organization_id: UUID, value: PlainValue) -> dict[str, Any]:
    sealed = keyring.seal(SealedPlace(organization_id, value.name, 1), value.value)
    own = {"organization_id": organization_id, "name": value.name, "key_id": sealed.key_id}
    return own | {"wrapped_key": sealed.wrapped_key, "value": sealed.value}


def _name(keyring: Keyring, organization_id: UUID, owner: str, place: Place, salt: str) -> str:
    readable = re.sub(r"[^A-Za-z0-9._-]", "_", f"{owner}.{place.label}")[:_NAME_LIMIT]
    return f"{readable}.{keyring.mark(str(organization_id), owner, place.label, place.value, salt)}"


def _split_queries(toolsets: Sequence[Any]) -> None:
    """Let a URL's query stand beside it: keys are often in there."""
    for toolset in toolsets:
        for server in _servers_of(toolset):
            url = server.get("url")
            if isinstance(url, str) and "?" in url and "query" not in server:
                server["url"], _, query = url.partition("?")
                server.update({"query": query} if query else {})


def _servers_of(toolset: Any) -> list[dict[str, Any]]:
    given = _mapping(toolset)
    servers = _mapping(given.get("servers")) if given.get("type") == "mcp" else {}
    return [_mapping(server) for server in servers.values()]


def _mapping(given: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", given) if isinstance(given, dict) else {}
