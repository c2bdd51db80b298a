"""Where runtimes of others are found: installed distributions, directories, and import paths."""

import importlib
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoints, distributions, entry_points
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from runtimes.errors import ConfigurationInvalid
from runtimes.frameworks import Discovery
from runtimes.import_paths import IMPORT_PATH, module_at
from runtimes.manifests.manifest import CONTRACT, RuntimeManifest
from runtimes.meant import meant

#: The group of the entry points that name manifests.
GROUP = "holdfast.runtimes"
#: What a module in a plugin directory calls its manifest.
MANIFEST = "MANIFEST"
_NAME_RULE = "a runtime's name is 1 to 63 of a-z, 0-9, '_' and '-', and begins with a letter"
_NO_PROJECT = "Name the directory of a plugin's source."


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that should be a manifest: `path` is `package.module:NAME`, `origin` says where it was found.

    `directory` is where its module has to be, if it has to be anywhere.
    """

    name: str
    origin: str
    path: str
    directory: Path | None = None

    def manifest(self) -> RuntimeManifest:
        """Import the module, and take the manifest out of it.

        Raises:
            ConfigurationInvalid: it cannot be used; says why, and what to do.
        """
        if not IMPORT_PATH.fullmatch(self.path):
            raise ConfigurationInvalid(f"'{self.path[:200]}' is no import path.", hint="Write package.module:NAME.")
        module, name = self._module(), self.path.partition(":")[2]
        self._require_place(module.__name__, module.__file__)
        if not hasattr(module, name):
            hint = meant(name, dir(module)) or f"Define {name} = RuntimeManifest(…) there."
            raise ConfigurationInvalid(f"Module '{module.__name__}' has no '{name}'.", hint=hint)
        return _usable(getattr(module, name))

    def _module(self) -> Any:
        try:
            return module_at(self.path, ConfigurationInvalid)
        except ConfigurationInvalid as refused:
            invalid = refused.__cause__
            if isinstance(invalid, ValidationError) and invalid.title == RuntimeManifest.__name__:
                raise ConfigurationInvalid(_mistakes(invalid), hint="See docs/plugins.md.") from None
            raise

    def _require_place(self, module: str, file: str | None) -> None:
        if self.directory is not None and self.directory not in Path(file or "").parents:
            raise ConfigurationInvalid(
                f"Another module is called '{module}' too: {file}.", hint="Give the plugin's module another name."
            )


@dataclass(frozen=True, slots=True)
class Missing:
    """A place in which plugins should be, and that is not there, or cannot be read."""

    name: str
    origin: str
    problem: str
    hint: str = "Make it readable, or take it off the list."

    def manifest(self) -> RuntimeManifest:
        """There is none.

        Raises:
            ConfigurationInvalid: always.
        """
        raise ConfigurationInvalid(self.problem, hint=self.hint)


def candidates(discovery: Discovery) -> Iterator[Candidate | Missing]:
    """All that is found, in an order that does not change; imports nothing."""
    if discovery.auto_scan:
        yield from _of_distributions(entry_points(group=GROUP))
    for directory in discovery.directories:
        yield from _in_directory(directory)
    for path in discovery.modules:
        yield Candidate(path, f"module {path}", path)


def in_project(directory: Path) -> Iterator[Candidate | Missing]:
    """The plugins of a distribution's source, which need not be installed: by its entry points, else by its modules."""
    origin, file = f"project {directory}", directory / "pyproject.toml"
    if not file.is_file():
        for found in _in_directory(directory):
            yield replace(found, origin=origin, hint=_NO_PROJECT) if isinstance(found, Missing) else found
        return
    try:
        points: dict[str, str] = tomllib.loads(file.read_text())["project"]["entry-points"][GROUP]
    except (OSError, ValueError) as error:
        yield Missing(directory.name, origin, f"{file} cannot be read: {error}", "Correct the file.")
        return
    except (KeyError, TypeError):
        hint = f'Name the manifest there: [project.entry-points."{GROUP}"].'
        yield Missing(directory.name, origin, f"{file} names no runtime.", hint)
        return
    sys.path.insert(0, str(source if (source := directory / "src").is_dir() else directory))
    for name, path in sorted(points.items()):
        yield Candidate(name, origin, path)


def _of_distributions(found: EntryPoints) -> Iterator[Candidate]:
    for point in sorted(found, key=lambda point: (point.dist.name if point.dist else "", point.name)):
        source = f"{point.dist.name} {point.dist.version}" if point.dist else "no distribution"
        yield Candidate(point.name, f"entry point of {source}", point.value)


def _in_directory(directory: Path) -> Iterator[Candidate | Missing]:
    """A directory into which distributions were installed speaks by their entry points, any other by its modules."""
    try:
        paths = list(directory.iterdir())
        modules = sorted(_modules(paths))
    except (OSError, ValueError) as error:
        yield Missing(str(directory), "configuration", _unreadable(directory, error))
        return
    if str(directory) not in sys.path:
        sys.path.append(str(directory))
    importlib.invalidate_caches()
    if any(path.suffix == ".dist-info" for path in paths):
        yield from _of_distributions(_entry_points_in(directory))
        return
    for module in modules:
        yield Candidate(module, f"directory {directory}", f"{module}:{MANIFEST}", directory)


def _entry_points_in(directory: Path) -> EntryPoints:
    points = (point for each in distributions(path=[str(directory)]) for point in each.entry_points)
    return EntryPoints(point for point in points if point.group == GROUP)


def _unreadable(directory: Path, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"There is no directory '{directory}'."
    why = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else str(error)
    return f"The directory '{directory}' cannot be read: {why}."


def _modules(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        if path.suffix == ".py" and not path.name.startswith("_"):
            yield path.stem
        elif (path / "__init__.py").is_file():
            yield path.name


def _mistakes(invalid: ValidationError) -> str:
    """Say what is wrong with a manifest, in a line."""
    mistakes: list[str] = []
    for error in invalid.errors(include_url=False, include_input=False):
        field = ".".join(map(str, error["loc"])) or "manifest"
        why = _NAME_RULE if field == "name" and error["type"] == "string_pattern_mismatch" else error["msg"]
        mistakes.append(f"'{field}': {why.removeprefix('Value error, ')}")
    return f"Its manifest is not valid. {'; '.join(mistakes)}."


def _usable(found: object) -> RuntimeManifest:
    if isinstance(found, type):
        raise ConfigurationInvalid(
            f"'{found.__name__}' is a class.", hint="Name the runtime's manifest there, not its adapter."
        )
    if not isinstance(found, RuntimeManifest):
        raise ConfigurationInvalid(
            f"It is of type '{type(found).__name__}', no RuntimeManifest.", hint="See docs/plugins.md."
        )
    if found.contract != CONTRACT:
        older = found.distribution if found.contract < CONTRACT else "Holdfast"
        raise ConfigurationInvalid(
            f"It was made for contract {found.contract}; this Holdfast has contract {CONTRACT}.",
            hint=f"Upgrade {older}.",
        )
    return found
