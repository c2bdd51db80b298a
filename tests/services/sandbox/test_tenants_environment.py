"""Variables that a tenant gives: they are there inside of the sandbox, and nothing outside takes notice of them."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from runtimes.errors import ToolsetInvalid
from runtimes.sandbox.command_line import Room
from services.sandbox.sandbox import Sandbox
from services.tools.place import TurnPlace
from services.tools.spec import Call, ToolSpec
from services.tools.toolsets import Toolsets
from tests.architecture.source import ROOT
from tests.services.tools import mcp_server

#: Programs that a sandbox is made with, and those of its inside.
PROGRAMS = ("setpriv", "unshare", "sh", "mount", "prlimit", "bwrap", "env", "true", "bash")
#: By what a tenant's variables could act on a program that is not the tenant's: each leaves a file at the place.
HOSTILE: Mapping[str, Mapping[str, str]] = {
    "path": {"PATH": "{outside}/bin:/usr/bin:/bin"},
    "loader": {"LD_DEBUG": "files", "LD_DEBUG_OUTPUT": "{outside}/trace"},
    "preload": {"LD_PRELOAD": "{outside}/evil.so", "LD_LIBRARY_PATH": "{outside}"},
    "shell": {"ENV": "{outside}/profile", "BASH_ENV": "{outside}/profile", "HOME": "{outside}"},
    "libc": {"GCONV_PATH": "{outside}", "LOCPATH": "{outside}", "MALLOC_TRACE": "{outside}/trace"},
}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory of the worker's machine with programs that leave a trace."""
    there = tmp_path / "outside"
    (there / "bin").mkdir(parents=True)
    for name in PROGRAMS:
        program = there / "bin" / name
        program.write_text(f"#!/bin/bash\necho {name} >> {there}/trace\n")
        program.chmod(0o755)
    (there / "profile").write_text(f"echo profile >> {there}/trace\n")
    return there


def traces(outside: Path) -> list[str]:
    return [path.name for path in outside.glob("trace*")]


@pytest.fixture
def variables(outside: Path, kind: str) -> dict[str, str]:
    return {name: value.format(outside=outside) for name, value in HOSTILE[kind].items()}


@asynccontextmanager
async def opened(workspace: Path, variables: Mapping[str, str], only: str) -> AsyncGenerator[ToolSpec]:
    """A tool of a server that a tenant has started with these variables."""
    toolsets = Toolsets(sandbox=Sandbox([ROOT, Path(sys.base_prefix)]), mcp_commands=[sys.executable])
    server = {"command": [sys.executable, mcp_server.__file__], "env": dict(variables), "only": [only]}
    wanted = [{"type": "mcp", "servers": {"math": server}}]
    async with toolsets.open(wanted, TurnPlace(workspace, "e", "o", turn=1, attempt=1)) as (spec,):
        yield spec


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.usefixtures("sandbox")
async def test_a_servers_variables_act_on_nothing_outside(
    workspace: Path, outside: Path, variables: dict[str, str]
) -> None:
    async with opened(workspace, variables, "see.things") as see:
        seen = json.loads(await see.handler({}, Call("c", "k")))

    assert traces(outside) == []
    assert set(variables) <= set(seen["environment"])


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_commands_variables_act_on_nothing_outside(
    sandbox: Sandbox, workspace: Path, outside: Path, variables: dict[str, str]
) -> None:
    ran = await sandbox.run(["/usr/bin/env"], Room(workspace, environment=variables))

    assert traces(outside) == []
    assert {line.partition("=")[0] for line in ran.output.splitlines()} >= set(variables)


@pytest.mark.usefixtures("sandbox")
async def test_a_servers_limits_hold_whatever_its_variables_are(workspace: Path) -> None:
    """A program of its own in the place of one that sets limits would be a way around them."""
    (workspace / "prlimit").write_text('#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n')
    (workspace / "prlimit").chmod(0o755)

    async with opened(workspace, {"PATH": "/workspace:/usr/bin:/bin"}, "limits") as limits:
        found = json.loads(await limits.handler({}, Call("c", "k")))

    assert found["core"] == 0
    assert 0 < found["open_files"] <= 1024


@pytest.mark.parametrize("name", ["", "A=B", "A\x00B"])
async def test_what_is_no_name_of_a_variable_is_refused(sandbox: Sandbox, workspace: Path, name: str) -> None:
    with pytest.raises(ToolsetInvalid, match="environment variable"):
        await sandbox.run(["true"], Room(workspace, environment={name: "x"}))


async def test_a_value_with_nul_is_refused(sandbox: Sandbox, workspace: Path) -> None:
    with pytest.raises(ToolsetInvalid, match="U\\+0000"):
        await sandbox.run(["true"], Room(workspace, environment={"A": "x\x00--bind\x00/\x00/mnt"}))


@pytest.mark.parametrize("command", [["--help"], ["-c", "true"], ["--", "true"]])
async def test_a_command_is_no_option_of_the_sandbox(sandbox: Sandbox, workspace: Path, command: list[str]) -> None:
    ran = await sandbox.run(command, Room(workspace))

    assert "bwrap" not in ran.output
    assert ran.exit_code != 0


async def test_no_value_stands_on_a_command_line(sandbox: Sandbox, workspace: Path) -> None:
    """Command lines of a machine's processes are for all of its users to read."""
    room = Room(workspace, environment={"TOKEN": "sk-4711"})

    work = asyncio.create_task(sandbox.run(["bash", "-c", "touch begun; sleep 1; echo $TOKEN"], room))
    while not (workspace / "begun").exists():
        await asyncio.sleep(0.01)
    lines = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]

    assert any("touch begun; sleep 1" in line for line in lines)
    assert not any("sk-4711" in line for line in lines)
    assert (await work).output == "sk-4711\n"


async def test_no_file_of_the_worker_is_open_inside(sandbox: Sandbox, workspace: Path) -> None:
    ran = await sandbox.run(["bash", "-c", "ls /proc/self/fd /proc/1/fd"], Room(workspace))

    numbers = {word for word in ran.output.split() if word.isdigit()}
    assert numbers <= {"0", "1", "2", "3", "255"}
