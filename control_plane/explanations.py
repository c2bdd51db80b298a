"""Where every setting has its value from: an option, the environment, a file and its line, or nobody."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from control_plane.documents import Document, Location, read_document, read_toml
from control_plane.frameworks import Frameworks
from control_plane.frameworks_file import TOP
from control_plane.settings import KNOWN_PROVIDERS, PREFIX, Settings
from control_plane.settings_files import config_file, secret_file
from runtimes.frameworks import FrameworkLimits
from runtimes.manifests.manifest import RuntimeManifest

DEFAULT = "default"
#: Stands for what is never shown.
HIDDEN = "(secret)"
#: Where a limit comes from that the frameworks file does not set: a field of the manifest.
_OF_MANIFESTS = {"max_concurrent_executions": "slots", "memory_limit_mb": "memory_mb", "weight": "weight"}


class Explanation(NamedTuple):
    """A setting, what it is, and who said so; secrets are hidden."""

    key: str
    value: Any
    origin: str


@dataclass(frozen=True)
class Explanations:
    """Explains the settings of this process; `arguments` are what was given as options."""

    settings: Settings
    frameworks: Frameworks
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def all(self) -> list[Explanation]:
        """Every setting, then every key of the frameworks file."""
        return [*self._of_settings(), *self._of_frameworks()]

    def _of_settings(self) -> Iterator[Explanation]:
        document = _settings_document()
        for location, value in _leaves(self.settings, ()):
            yield Explanation(_key(location), _shown(value), self._origin(location, document))

    def _origin(self, location: Location, document: Document | None) -> str:
        top = str(location[0])
        if top in self.arguments:
            return f"option --{top.replace('_', '-')}"
        if variable := _variable(location):
            return f"environment variable {variable}"
        if secret := secret_file(location):
            return f"file {secret}"
        if place := _in_file(config_file(), document, location):
            return place
        usual = _usual_variable(location)
        return f"environment variable {usual}" if usual else DEFAULT

    def _of_frameworks(self) -> Iterator[Explanation]:
        path = self.settings.frameworks_file
        document, config = read_document(path) if path else None, self.frameworks.config
        found = {location: value for location, value in _leaves(config, (TOP,)) if location[1] != "framework_specific"}
        said = {location: (_shown(value), DEFAULT) for location, value in found.items()}
        for name in sorted({*self.frameworks.registry, *config.framework_specific}):
            said |= self._limits(name)
        for location, (value, otherwise) in said.items():
            yield Explanation(_key(location), value, _in_file(path, document, location) or otherwise)

    def _limits(self, runtime: str) -> dict[Location, tuple[Any, str]]:
        """One runtime's limits, with where they are from if not from the file."""
        limits, manifest = self.frameworks.config.limits(runtime), self.frameworks.registry.get(runtime)
        found: dict[Location, tuple[Any, str]] = {}
        for name in FrameworkLimits.model_fields:
            said = getattr(limits, name)
            value, origin = (said, DEFAULT) if said is not None else self._otherwise(name, manifest)
            found[TOP, "framework_specific", runtime, name] = (value, origin)
        return found

    def _otherwise(self, name: str, manifest: RuntimeManifest | None) -> tuple[Any, str]:
        if name == "timeout_seconds":
            return self.settings.turn_timeout_seconds, "setting turn_timeout_seconds"
        if manifest is None:
            return None, DEFAULT
        return getattr(manifest, _OF_MANIFESTS[name]), f"manifest of {manifest.name}"


def _leaves(value: object, location: Location) -> Iterator[tuple[Location, object]]:
    """What stands at the ends of models and mappings; an empty mapping is an end too."""
    inner: Mapping[str, object] = {}
    if isinstance(value, BaseModel):
        inner = {name: getattr(value, name) for name in type(value).model_fields}
    elif isinstance(value, Mapping):
        inner = cast("Mapping[str, object]", value)
    if not inner:
        yield location, value
    for name, one in inner.items():
        yield from _leaves(one, (*location, name))


def _shown(value: object) -> Any:
    if isinstance(value, SecretStr):
        return HIDDEN
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str):
        return _without_password(value)
    if isinstance(value, tuple | list | frozenset):
        items = cast("list[object]", list(value))  # pyright: ignore[reportUnknownArgumentType]
        return sorted(map(str, items)) if isinstance(value, frozenset) else [_shown(item) for item in items]
    return value


def _without_password(text: str) -> str:
    with suppress(ValueError):
        parts = urlsplit(text)
        if "@" in parts.netloc:
            return parts._replace(netloc=f"{HIDDEN}@{parts.netloc.rpartition('@')[2]}").geturl()
    return text


def _variable(location: Location) -> str:
    """The variable of the environment that says it; empty if none does."""
    names = [name for name in os.environ if os.environ[name]]
    by_name = {name.upper(): name for name in names}
    exact = PREFIX + "__".join(map(str, location)).upper()
    if exact in by_name:
        return by_name[exact]
    whole = by_name.get(PREFIX + str(location[0]).upper())
    return whole if whole and len(location) > 1 and _holds(os.environ[whole], location[1:]) else ""


def _holds(text: str, location: Location) -> bool:
    """Whether JSON has something there."""
    try:
        inside: Any = json.loads(text)
        for step in location:
            inside = inside[step]
    except (ValueError, LookupError, TypeError):
        return False
    return True


def _usual_variable(location: Location) -> str:
    for provider in KNOWN_PROVIDERS:
        variables = {"api_key": provider.key_variable, "base_url": provider.url_variable}
        if location[:2] == ("providers", provider.name) and os.environ.get(variables.get(str(location[-1]), "")):
            return variables[str(location[-1])]
    return ""


def _settings_document() -> Document | None:
    """The settings file, TOML whatever its name; it was read without an error just now."""
    path = config_file()
    return read_toml(path.read_text(encoding="utf-8")) if path is not None and path.is_file() else None


def _in_file(path: Path | None, document: Document | None, location: Location) -> str:
    place = document.place(location) if document else None
    return f"{path}:{place.line}:{place.column}" if place else ""


def _key(location: Location) -> str:
    return ".".join(map(str, location))
