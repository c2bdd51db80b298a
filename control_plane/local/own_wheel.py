"""This very Holdfast as a wheel, for environments beside this one: of its sources, or of what is installed."""

import csv
import io
import json
import zipfile
from importlib.metadata import Distribution, PackagePath, distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

NAME = "holdfast"
#: Files that an installer adds; the next one adds its own.
_ADDED = {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json", "uv_build.json"}


def source_tree() -> Path | None:
    """The checkout that this Holdfast runs from; None where it is installed."""
    told = distribution(NAME).read_text("direct_url.json")
    found: Any = json.loads(told) if told else {}
    if not found.get("dir_info", {}).get("editable"):
        return None
    url: str = found["url"]
    return Path(unquote(urlparse(url).path))


def packed(place: Path) -> Path:
    """Put what is installed into a wheel in a directory; gives the wheel."""
    installed = distribution(NAME)
    wheel = place / f"{NAME}-{installed.version}-py3-none-any.whl"
    files = [file for file in installed.files or () if _belongs(file)]
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(str(file.locate()), str(file))
        archive.writestr(*_record(installed, files))
    return wheel


def _belongs(file: PackagePath) -> bool:
    outside = ".." in file.parts or file.suffix == ".pyc"
    return not outside and not (file.parent.suffix == ".dist-info" and file.name in _ADDED)


def _record(installed: Distribution, files: list[PackagePath]) -> tuple[str, str]:
    """The list of a wheel's files, itself without a hash."""
    name = f"{NAME}-{installed.version}.dist-info/RECORD"
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerows((str(file), f"{file.hash.mode}={file.hash.value}" if file.hash else "", file.size) for file in files)
    rows.writerow((name, "", ""))
    return name, text.getvalue()
