"""The frameworks file: read, and every mistake told with its place."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from control_plane.documents import Document, DocumentInvalid, Location, Place, read_document
from control_plane.settings import SettingsInvalid
from runtimes.frameworks import Discovery, FrameworkLimits, FrameworksConfig, TemplateMapping
from runtimes.meant import guess, meant

#: The one key at the top.
TOP = "frameworks"
#: Stands for any name.
ANY = "*"


class FrameworksFile(BaseModel):
    """The file as a whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frameworks: FrameworksConfig = FrameworksConfig()


#: What each part of the file may hold.
PARTS: Mapping[Location, type[BaseModel]] = {
    (): FrameworksFile,
    (TOP,): FrameworksConfig,
    (TOP, "discovery"): Discovery,
    (TOP, "template_mappings", ANY): TemplateMapping,
    (TOP, "framework_specific", ANY): FrameworkLimits,
}


def read_frameworks(path: Path) -> FrameworksConfig:
    """Read a frameworks file; relative directories in it begin beside it.

    Raises:
        SettingsInvalid: with a line `file:line:column: key: what is wrong` for each mistake.
    """
    try:
        document = read_document(path)
    except DocumentInvalid as invalid:
        raise SettingsInvalid([f"{_shown(path, invalid.place)}: {invalid}."]) from None
    try:
        config = FrameworksFile.model_validate(_said(document.values)).frameworks
    except ValidationError as invalid:
        errors = sorted(invalid.errors(), key=lambda error: document.nearest(error["loc"]) or Place(1, 1))
        raise SettingsInvalid([_described(path, document, error) for error in errors]) from None
    return _beside(path, document, config)


def unknown_names(config: FrameworksConfig, known: Iterable[str]) -> list[str]:
    """A sentence for each runtime that the file names and nobody here knows: it may be announced, or misspelt."""
    names = {config.default_framework, *config.framework_specific}
    names |= {name for mapping in config.template_mappings.values() for name in mapping.preferred or ()}
    known = set(known)
    return [f"No runtime '{name}' is known here. {meant(name, known)}".rstrip() for name in sorted(names - known)]


def known_keys(location: Location) -> Iterable[str]:
    """The keys that may stand in a part of the file."""
    part = PARTS.get(location) or PARTS.get((*location[:-1], ANY))
    return part.model_fields if part else ()


def _described(path: Path, document: Document, error: ErrorDetails) -> str:
    location = error["loc"]
    place = _shown(path, document.nearest(location))
    key = ".".join(map(str, location))
    if error["type"] == "extra_forbidden":
        return f"{place}: {key}: there is no such key. {guess(str(location[-1]), known_keys(location[:-1]))}"
    return f"{place}: {key}: {_complaint(error)}."


def _said(value: Any) -> Any:
    """The values without the keys that have none: those say nothing."""
    if not isinstance(value, dict):
        return value
    said = cast("dict[str, Any]", value)
    return {key: _said(inner) for key, inner in said.items() if inner is not None}


def _complaint(error: ErrorDetails) -> str:
    if error["type"] in {"model_type", "dict_type"}:
        return "it has to be a mapping of keys to values"
    message = error["msg"].removeprefix("Value error, ").rstrip(".")
    value: Any = error["input"]
    return message if isinstance(value, dict | list) else f"{value!r}: {message}"


def _shown(path: Path, place: Place | None) -> str:
    return f"{path}:{place.line}:{place.column}" if place else str(path)


def _beside(path: Path, document: Document, config: FrameworksConfig) -> FrameworksConfig:
    directories: list[Path] = []
    for index, directory in enumerate(config.discovery.directories):
        try:
            directories.append(path.parent / directory.expanduser())
        except RuntimeError:
            location = (TOP, "discovery", "directories", index)
            place = _shown(path, document.nearest(location))
            raise SettingsInvalid(
                [f"{place}: {'.'.join(map(str, location))}: '{directory}': nobody here has that home directory."]
            ) from None
    discovery = config.discovery.model_copy(update={"directories": tuple(directories)})
    return config.model_copy(update={"discovery": discovery})
