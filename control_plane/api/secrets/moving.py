"""Plain values of a definition on their way into the store: what is kept of the definition refers to them."""

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from itertools import count
from typing import Any

from control_plane.api.schemas import Notice
from control_plane.api.secrets.service import Secrets
from control_plane.errors import ValueInvalid
from control_plane.secret_errors import SecretsKeyMissing
from control_plane.secret_moving import PlainValue, is_plain, places_of, plain_values
from runtimes.manifests.manifest import RuntimeManifest

#: Plain values that one definition may have.
_MOST = 1000
#: Names that a warning tells.
_TOLD = 10
_KEYLESS = "Plain values that may be secret are kept as secrets, and the API has no key to seal them with."
_HINT = 'Set a secret (holdfast secrets set NAME) and write {"secret": "NAME"} in its place.'


async def moved(
    secrets: Secrets, owner: str, values: Mapping[str, Any], secret_settings: Collection[str]
) -> tuple[dict[str, Any], list[Notice]]:
    """The toolsets and the configuration with references in the place of plain values, and the warning about it.

    `owner` is the agent or the template whose they are, `secret_settings` are those of runtimes.

    Raises:
        SecretsKeyMissing: there is no key to seal them with.
        ValueInvalid: there are too many.
    """
    left = deepcopy({name: values[name] for name in ("toolsets", "configuration") if name in values})
    places = places_of(left.get("toolsets", ()), left.get("configuration", {}), secret_settings)
    found = sum(map(is_plain, places))
    if not found:
        return left, []
    if secrets.keyring is None:
        raise SecretsKeyMissing(_KEYLESS)
    if found > _MOST:
        raise ValueInvalid(f"A definition has at most {_MOST} plain values.", field="/toolsets")
    names: set[str] = set()
    for salt in map(str, count()):
        plain = plain_values(secrets.keyring, secrets.organization_id, owner, places, salt)
        if not plain:
            break
        names |= await _take_out(secrets, plain)
    return left, [_notice(sorted(names))]


def secret_settings(manifests: Mapping[str, RuntimeManifest], runtime: str | None = None) -> set[str]:
    """Settings that are secret: those of the runtime, where it is known, else those of any."""
    asked = manifests.values() if runtime is None else (manifests[runtime],) if runtime in manifests else ()
    return set[str]().union(*(manifest.secret_settings for manifest in asked))


async def _take_out(secrets: Secrets, values: Sequence[PlainValue]) -> set[str]:
    """Store values and leave references; where a name has another value by now, the value stays, for a new name."""
    wanted = {value.name: value.value for value in values}
    present = await secrets.values(wanted)
    added = await secrets.add({name: wanted[name] for name in wanted if name not in {*present.values, *present.broken}})
    kept = added | {name for name, value in present.values.items() if value == wanted[name]}
    for value in values:
        if value.name in kept:
            value.take_out()
    return kept


def _notice(names: Sequence[str]) -> Notice:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    told = f"{len(names)} plain values were moved into secrets: {', '.join(names[:_TOLD])}{more}."
    return Notice(code="secrets_moved", message=told, hint=_HINT)
