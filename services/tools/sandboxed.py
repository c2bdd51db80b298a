"""The toolsets `shell` and `python_code`: what a model writes is run in the sandbox."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from re import compile as expression
from typing import Any

from runtimes.errors import ToolsetInvalid
from runtimes.sandbox.command_line import Limits, Room
from services.sandbox.sandbox import Ran, Sandbox
from services.tools.configuration import CommandPolicy, PythonCodeToolset, SandboxedToolset, ShellToolset
from services.tools.spec import Call, ToolFailed, ToolSpec

#: Seconds that a call has beyond its command's own, to say what came of it.
_GRACE = 10.0
#: Characters of a command line, which the kernel takes as one argument; and of code.
_COMMAND_LIMIT = 30_000
_CODE_LIMIT = 200_000
#: What joins commands, nests them or leads their output elsewhere.
_CONTROL = expression(r"[;&|<>`$(){}\n]+")

#: Limits that an agent asks for.
_ASKED = ("cpu_seconds", "memory_mb", "processes", "file_size_mb")
#: Commands that one line joins, of which each is compared with all patterns.
_PIECES = 200

_SHELL = """Run a command line with bash, in the workspace directory.

Gives what it wrote (output and errors together) and, where it is not 0, its exit code. Every call is a new shell:
directory and variables do not stay, files of the workspace do. All processes end with the call."""
_PYTHON = """Run Python code, in the workspace directory.

Gives what it printed, and the traceback of an error. Every call is a new interpreter: variables do not stay, files
of the workspace do."""


@dataclass(frozen=True, slots=True)
class _Runner:
    """Runs one of a toolset's tools; `argument` is what the model fills."""

    sandbox: Sandbox
    room: Room
    seconds: float
    argument: str
    command: Callable[[str], tuple[Sequence[str], bytes]]

    async def run(self, arguments: Mapping[str, Any], _: Call) -> str:
        written = str(arguments[self.argument])
        if "\x00" in written:
            raise ToolFailed(f"The {self.argument} must not contain the character U+0000.")
        command, stdin = self.command(written)
        return told(await self.sandbox.run(command, self.room, stdin=stdin, seconds=self.seconds))


def told(ran: Ran) -> str:
    """What a model reads of a command; one that failed is an ordinary result, its exit code says so."""
    end = f"[stopped: {ran.stopped}]" if ran.stopped else f"[exit code {ran.exit_code}]" if ran.exit_code else ""
    output = ran.output or ("" if end else "[no output]")
    return f"{output}{'' if not end or not output or output.endswith(chr(10)) else chr(10)}{end}"


def shell_tools(wanted: ShellToolset, workspace: Path, sandbox: Sandbox) -> list[ToolSpec]:
    """The tool `shell`.

    Raises:
        ToolsetInvalid: the worker's settings do not allow what is wanted.
    """
    schema = {"type": "string", "minLength": 1, "maxLength": _COMMAND_LIMIT, "description": "A command line."}
    room = _room(wanted, workspace, sandbox)
    runner = _Runner(sandbox, room, wanted.seconds_of("shell"), "command", _bash)
    spec = _spec("shell", _SHELL, schema, runner)
    return [replace(spec, asks=partial(_asks, wanted.policy))]


def python_code_tools(wanted: PythonCodeToolset, workspace: Path, sandbox: Sandbox) -> list[ToolSpec]:
    """The tool `python`: the worker's own interpreter, without the worker's packages.

    Raises:
        ToolsetInvalid: as `shell_tools`.
    """
    schema = {"type": "string", "minLength": 1, "maxLength": _CODE_LIMIT, "description": "Python code."}
    room = _room(wanted, workspace, sandbox)
    home = Path(sys.base_prefix)
    if not home.is_relative_to("/usr"):
        room = replace(room, readable=(*room.readable, home))
    return [_spec("python", _PYTHON, schema, _Runner(sandbox, room, wanted.seconds_of("python"), "code", _python))]


def _room(wanted: SandboxedToolset, workspace: Path, sandbox: Sandbox) -> Room:
    check_network(wanted.network, sandbox)
    most = sandbox.most or Limits()
    asked = {name: getattr(wanted, name) for name in _ASKED}
    if sandbox.most is not None:
        _check_limits(asked, most)
    limits = replace(most, **asked)
    return Room(workspace, limits, wanted.network, sandbox.readable)


def _check_limits(wanted: Mapping[str, int], most: Limits) -> None:
    """Refuse what is more than the worker's operator allows."""
    for name, asked in wanted.items():
        if asked > (allowed := getattr(most, name)):
            raise ToolsetInvalid(
                f"The worker allows commands {name} = {allowed} at most, and {asked} is asked for.",
                hint=f"The setting is HOLDFAST_SANDBOX_{name.upper()}, on the worker.",
            )


def check_network(wanted: bool, sandbox: Sandbox) -> None:
    """Accept that a toolset wants the network, where the worker allows it.

    Raises:
        ToolsetInvalid: it does not.
    """
    if wanted and not sandbox.network:
        raise ToolsetInvalid(
            "The worker allows commands no network.", hint="The setting is HOLDFAST_SANDBOX_NETWORK, on the worker."
        )


def asks(policy: CommandPolicy | None, command: str) -> bool:
    """Whether a human is asked; a list `allow` never lets through what joins or redirects commands."""
    if policy is None:
        return True
    whole = command.strip()
    pieces = _CONTROL.split(whole)
    if len(pieces) > _PIECES:
        return True
    if any(_fits(piece.strip(), policy.ask) for piece in (whole, *pieces)):
        return True
    return not _is_allowed(whole, policy.allow) if policy.allow else not policy.ask


def _is_allowed(command: str, allow: Sequence[str]) -> bool:
    return command in allow or (not _CONTROL.search(command) and _fits(command, allow))


def _fits(command: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(command, pattern) for pattern in patterns)


def _asks(policy: CommandPolicy | None, arguments: Mapping[str, Any]) -> bool:
    return asks(policy, str(arguments.get("command", "")))


def _bash(command: str) -> tuple[Sequence[str], bytes]:
    return ("bash", "-c", command), b""


def _python(code: str) -> tuple[Sequence[str], bytes]:
    return (str(Path(sys.base_prefix, "bin", "python3")), "-"), code.encode(errors="replace")


def _spec(name: str, description: str, schema: Mapping[str, Any], runner: _Runner) -> ToolSpec:
    return ToolSpec(
        name=name,
        description=description,
        parameters={
            "type": "object",
            "properties": {runner.argument: schema},
            "required": [runner.argument],
            "additionalProperties": False,
        },
        handler=runner.run,
        writes=True,
        timeout_seconds=runner.seconds + _GRACE,
    )
