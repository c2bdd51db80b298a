"""YAML and TOML files that remember where everything stands."""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import tomlkit
import yaml

#: Stands in place of a TOML value while its place is looked for.
_MARK = "holdfast-is-looking-for-this-place"
#: Levels of YAML that there may be: aliases may lead in circles.
_DEEPEST = 10
_TOO_DEEP = "its values are nested too deeply"

Location = tuple[str | int, ...]


class Place(NamedTuple):
    """Counted from 1."""

    line: int
    column: int


class DocumentInvalid(ValueError):
    """A file that is not what its suffix says; `place` is where reading ended."""

    def __init__(self, problem: str, place: Place | None = None) -> None:
        super().__init__(problem)
        self.place = place


@dataclass(frozen=True, slots=True)
class Document:
    """A file's content as plain values; `place` tells where a key of a mapping, or an item of a list, stands."""

    values: Mapping[str, Any]
    place: Callable[[Location], Place | None]

    def nearest(self, location: Location) -> Place | None:
        """Where it stands, or else the next that it is in."""
        places = (self.place(location[:length]) for length in range(len(location), 0, -1))
        return next((place for place in places if place), None)


class _Loader(yaml.SafeLoader):
    """Knows where a value stands that looks like a date or a number and is none."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return cast("Any", super().construct_object(node, deep))  # pyright: ignore[reportUnknownMemberType]
        except (ArithmeticError, AttributeError, LookupError, ValueError) as error:
            problem = f"'{str(node.value)[:80]}' is no {node.tag.rpartition(':')[2]}"
            why = f": {error}" if isinstance(error, ValueError) else ""
            raise yaml.constructor.ConstructorError(None, None, problem + why, node.start_mark) from error


def read_yaml(text: str) -> Document:
    """YAML; a key stands where its first letter is.

    Raises:
        DocumentInvalid: it is none, has a key twice, or a value that is none.
    """
    try:
        values = yaml.load(text, Loader=_Loader)  # noqa: S506  # it is a SafeLoader
        node = cast("yaml.Node | None", yaml.compose(text, Loader=_Loader))  # pyright: ignore[reportUnknownMemberType]
    except yaml.MarkedYAMLError as error:
        raise DocumentInvalid(str(error.problem or error.context), _place(error.problem_mark)) from None
    except yaml.YAMLError as error:
        raise DocumentInvalid(str(error)) from None
    except RecursionError:
        raise DocumentInvalid(_TOO_DEEP) from None
    places: dict[Location, Place] = {}
    for location, place in _places_in(node, ()):
        if location in places:
            raise DocumentInvalid(f"'{location[-1]}' is there twice", place)
        places[location] = place
    return Document(_mapping(values), places.get)


def read_toml(text: str) -> Document:
    """TOML; a key stands where its value begins, a table where its first key stands.

    Raises:
        DocumentInvalid: it is none.
    """
    try:
        return Document(tomllib.loads(text), partial(_toml_place, text))
    except ValueError as error:
        raise DocumentInvalid(str(error)) from None
    except RecursionError:
        raise DocumentInvalid(_TOO_DEEP) from None


#: By suffix; JSON is YAML too.
READERS = {".yaml": read_yaml, ".yml": read_yaml, ".json": read_yaml, ".toml": read_toml}


def read_document(path: Path) -> Document:
    """A file as its suffix says.

    Raises:
        DocumentInvalid: the suffix says nothing, or the file cannot be read.
    """
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise DocumentInvalid(f"its name ends in none of: {', '.join(READERS)}")
    try:
        return read(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DocumentInvalid(f"it cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DocumentInvalid(f"it is no UTF-8: {error.reason}") from None


def _mapping(found: object) -> Mapping[str, Any]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise DocumentInvalid("it is no mapping of keys to values", Place(1, 1))
    return cast("dict[str, Any]", found)


def _toml_place(text: str, location: Location) -> Place | None:
    """Put a mark in the value's place: the library keeps every character before it."""
    marked = tomlkit.parse(text)
    try:
        inside: Any = marked
        for step in location[:-1]:
            inside = inside[step]
        present = inside[location[-1]]
    except (KeyError, IndexError, TypeError):
        return None
    if isinstance(present, Mapping) and present:
        return _toml_place(text, (*location, next(iter(cast("Mapping[str, Any]", present)))))
    inside[location[-1]] = _MARK
    before = tomlkit.dumps(marked).partition(_MARK)[0]
    return Place(before.count("\n") + 1, len(before) - before.rfind("\n") - 1)


def _places_in(node: yaml.Node | None, location: Location) -> Iterator[tuple[Location, Place]]:
    if node and len(location) > _DEEPEST:
        raise DocumentInvalid(_TOO_DEEP, _place(node.start_mark))
    pairs: list[tuple[str | int, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        pairs = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        pairs = [(index, value, value) for index, value in enumerate(node.value)]
    for step, place, value in pairs:
        yield (*location, step), Place(place.start_mark.line + 1, place.start_mark.column + 1)
        yield from _places_in(value, (*location, step))


def _place(mark: Any) -> Place | None:
    return Place(mark.line + 1, mark.column + 1) if mark else None
