"""The project's documents: their blocks, and the `holdfast` commands in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from tests.architecture.source import ROOT

_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`(holdfast [^`]+)`")
_COMMAND = re.compile(r"(?:^|[$(;|&]\s*)(holdfast .*)")
#: Where a command's own words end in a line of shell.
_END = re.compile(r"\s#|[|;&<>)…]")


@dataclass(frozen=True)
class Document:
    """A Markdown file; `path` is relative to the project."""

    path: str

    @cached_property
    def text(self) -> str:
        """What it says."""
        return (ROOT / self.path).read_text()

    @property
    def script(self) -> str:
        """Its blocks of `bash run`, one after the other."""
        return self.blocks("bash run")

    def blocks(self, info: str) -> str:
        """Its blocks of a kind, one after the other."""
        return "".join(match["body"] for match in _FENCE.finditer(self.text) if match["info"] == info)

    def commands(self) -> Iterator[list[str]]:
        """The words after `holdfast` of every command that it shows."""
        for match in _FENCE.finditer(self.text):
            lines = match["body"].replace("\\\n", " ").splitlines()
            yield from (_words(found[1]) for line in lines if (found := _COMMAND.search(line)))
        yield from (_words(span) for span in _SPAN.findall(_FENCE.sub("", self.text)))

    def first_column(self, heading: str) -> list[str]:
        """The names in the first column of the tables under a heading."""
        section = self.text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def documents() -> list[Document]:
    """README, changelog and everything under docs."""
    paths = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [Document(str(path.relative_to(ROOT))) for path in paths]


def _words(command: str) -> list[str]:
    return shlex.split(_before_end(command))[1:]


def _before_end(command: str) -> str:
    """The command without what follows it in its line; quoted text stays whole."""
    quoted = re.split(r"""("[^"]*"|'[^']*')""", command)
    kept: list[str] = []
    for piece in quoted:
        if piece[:1] in {'"', "'"}:
            kept.append(piece)
            continue
        end = _END.search(piece)
        kept.append(piece[: end.start()] if end else piece)
        if end:
            break
    return "".join(kept)
