"""The toolset `file_system`: files in the execution's own workspace directory."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from runtimes.types import Effect
from services.bounded.process import BoundedProcesses, WorkUnbounded
from services.tools.configuration import FileSystemToolset
from services.tools.spec import Call, Handler, ToolFailed, ToolSpec
from services.tools.threads import in_thread
from services.tools.workspace import FILE_LIMIT, Workspace

#: Files and lines that one call lists at most.
LIST_LIMIT = 1000
MATCH_LIMIT = 200
#: Lines that one call reads at most.
LINES_LIMIT = 2000
#: Characters of a line that a search shows.
_LINE_LIMIT = 300

#: Seconds of processor for a search.
_SEARCH_SECONDS = 10

_TEXT: Mapping[str, Any] = {"type": "string"}
_PATH = {"type": "string", "minLength": 1, "maxLength": 1000, "description": "Relative to the workspace."}
_GLOB = {
    "type": "string",
    "minLength": 1,
    "maxLength": 200,
    "default": "**",
    "description": "Which files: * stands for any part of a name, ** for any directories, such as src/**/*.py.",
}


def file_system_tools(
    wanted: FileSystemToolset, root: Path, threads: Executor, processes: BoundedProcesses
) -> list[ToolSpec]:
    """Tools to read, write, edit, list and search the files below `root`.

    They run in `threads`; the search, whose expression is the model's, in one of the `processes`.
    """
    tools = _Tools(Workspace(root))
    line = {"type": "integer", "minimum": 1, "default": 1, "description": "The first line to read."}
    count = {"type": "integer", "minimum": 1, "maximum": LINES_LIMIT, "default": LINES_LIMIT}
    every = {"type": "boolean", "default": False, "description": "Replace all places; else there has to be just one."}
    expression = {"type": "string", "minLength": 1, "maxLength": 500, "description": "A regular expression."}
    spec = partial(_spec, wanted, threads)
    return [
        spec(tools.read_file, {"path": _PATH, "first_line": line, "lines": count}, ["path"]),
        spec(tools.write_file, {"path": _PATH, "content": _TEXT}, ["path", "content"], Effect.IDEMPOTENT),
        spec(
            tools.edit_file,
            {"path": _PATH, "old_text": {**_TEXT, "minLength": 1}, "new_text": _TEXT, "replace_all": every},
            ["path", "old_text", "new_text"],
            Effect.AT_MOST_ONCE,
        ),
        spec(tools.list_files, {"pattern": _GLOB}, []),
        _tool(
            wanted,
            "search_files",
            "Search the text files of the workspace line by line.",
            partial(_search, processes, root),
            {"expression": expression, "pattern": _GLOB},
            ["expression"],
        ),
    ]


class _Tools:
    """The functions' docstrings are what the model reads."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def read_file(self, path: str, first_line: int = 1, lines: int = LINES_LIMIT) -> str:
        """Read a text file of the workspace, or some of its lines."""
        whole = self._workspace.read(path).splitlines(keepends=True)
        shown = whole[first_line - 1 : first_line - 1 + lines]
        left = len(whole) - (first_line - 1 + len(shown))
        return "".join(shown) + (f"\n[{left} more lines]" if left > 0 else "")

    def write_file(self, path: str, content: str) -> str:
        """Write a text file in the workspace; an existing one is replaced, missing directories are made."""
        return f"Wrote {self._workspace.write(path, content)} bytes to {path}."

    def edit_file(self, path: str, old_text: str, new_text: str, replace_all: bool = False) -> str:
        """Replace a piece of a text file of the workspace by another."""
        text = self._workspace.read(path)
        found = text.count(old_text)
        if len(text) + found * (len(new_text) - len(old_text)) > FILE_LIMIT:
            raise ToolFailed(f"'{path}' would become larger than {FILE_LIMIT} bytes, which are the most.")
        if found == 0:
            raise ToolFailed(f"'{path}' does not contain the old text. Read the file and copy it exactly.")
        if found > 1 and not replace_all:
            raise ToolFailed(f"'{path}' contains the old text {found} times. Give more of it, or set replace_all.")
        self._workspace.write(path, text.replace(old_text, new_text))
        return f"Replaced {found} {'place' if found == 1 else 'places'} in {path}."

    def list_files(self, pattern: str = "**") -> str:
        """List the files of the workspace with their sizes in bytes."""
        return _lines((f"{path} ({size})" for path, size in self._workspace.files(pattern)), LIST_LIMIT, "No files.")


def _lines(found: Iterable[str], limit: int, nothing: str) -> str:
    shown = list(islice(found, limit + 1))
    if len(shown) > limit:
        shown[limit:] = [f"[only the first {limit} are shown]"]
    return "\n".join(shown) or nothing


def _spec(
    wanted: FileSystemToolset,
    threads: Executor,
    function: Callable[..., str],
    properties: Mapping[str, Any],
    required: Sequence[str],
    effect: Effect = Effect.READ_ONLY,
) -> ToolSpec:
    handler = partial(_run, threads, function)
    return _tool(wanted, function.__name__, function.__doc__ or "", handler, properties, required, effect)


def _tool(
    wanted: FileSystemToolset,
    name: str,
    description: str,
    handler: Handler,
    properties: Mapping[str, Any],
    required: Sequence[str],
    effect: Effect = Effect.READ_ONLY,
) -> ToolSpec:
    return ToolSpec(
        name=name,
        description=description,
        parameters={
            "type": "object",
            "properties": dict(properties),
            "required": list(required),
            "additionalProperties": False,
        },
        handler=handler,
        effect=effect,
        writes=effect is not Effect.READ_ONLY,
        timeout_seconds=wanted.seconds_of(name),
    )


async def _run(threads: Executor, function: Callable[..., str], arguments: Mapping[str, Any], _: Call) -> str:
    return await in_thread(threads, partial(function, **arguments))


async def _search(processes: BoundedProcesses, root: Path, arguments: Mapping[str, Any], _: Call) -> str:
    expression, pattern = str(arguments["expression"]), str(arguments.get("pattern", "**"))
    try:
        found = await processes.run(
            "found_lines",
            expression.encode(errors="replace"),
            seconds=_SEARCH_SECONDS,
            root=str(root),
            pattern=pattern,
            most=MATCH_LIMIT + 1,
            length=_LINE_LIMIT,
        )
    except WorkUnbounded as error:
        raise ToolFailed(
            f"The search does not end. {error} Search for something simpler, or in fewer files."
        ) from error
    return _lines((f"{path}:{number}: {line}" for path, number, line in found), MATCH_LIMIT, "None.")
