"""The toolsets `shell` and `python_code`."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from runtimes.errors import ToolsetInvalid
from runtimes.sandbox.command_line import Limits
from runtimes.types import Effect
from services.sandbox.sandbox import Sandbox
from services.tools.configuration import CommandPolicy
from services.tools.place import TurnPlace
from services.tools.sandboxed import asks
from services.tools.spec import ApprovalRule, Call, ToolFailed, ToolSpec
from services.tools.toolsets import Toolsets

CALL = Call("call_1", "key-1")

Open = Callable[..., Awaitable[ToolSpec]]


@pytest.fixture
def opened(sandbox: Sandbox, tmp_path: Path) -> Open:
    """The only tool of a toolset."""

    async def tool(kind: str, **fields: Any) -> ToolSpec:
        place = TurnPlace(tmp_path, "e", "o", turn=1, attempt=1)
        async with Toolsets(sandbox=sandbox).open([{"type": kind, **fields}], place) as specs:
            (spec,) = specs
            return spec

    return tool


async def test_a_command_line_is_run_in_the_workspace(opened: Open, tmp_path: Path) -> None:
    shell = await opened("shell")

    answers = [
        await shell.handler({"command": command}, CALL)
        for command in ("echo hi > note; pwd", "cat note nothing; exit 3", "true", "printf x; false")
    ]

    assert answers == [
        "/workspace\n",
        "hi\ncat: nothing: No such file or directory\n[exit code 3]",
        "[no output]",
        "x\n[exit code 1]",
    ]
    assert (tmp_path / "note").read_text() == "hi\n"


async def test_a_call_that_takes_too_long_says_what_it_had(opened: Open) -> None:
    shell = await opened("shell", timeout_seconds=60, tools={"shell": {"timeout_seconds": 0.3}})

    answer = await shell.handler({"command": "echo begun; sleep 20"}, CALL)

    assert answer == "begun\n[stopped: after 0.3 s]"
    assert shell.timeout_seconds > 0.3


async def test_code_is_run_with_the_workers_python_and_without_its_packages(opened: Open, tmp_path: Path) -> None:
    python = await opened("python_code")

    answers = [
        await python.handler({"code": code}, CALL)
        for code in ("print(1)\nprint(2)\nopen('x', 'w').write('y')", "import services", "1 / 0", "exit(5)")
    ]

    assert answers[0] == "1\n2\n"
    assert "ModuleNotFoundError" in answers[1]
    assert answers[2].endswith("ZeroDivisionError: division by zero\n[exit code 1]")
    assert answers[3] == "[exit code 5]"
    assert (tmp_path / "x").read_text() == "y"


async def test_what_no_command_line_can_hold_is_told(opened: Open) -> None:
    shell = await opened("shell")

    with pytest.raises(ToolFailed, match=r"U\+0000"):
        await shell.handler({"command": "echo \x00"}, CALL)


async def test_a_hundred_commands_at_once_go_their_own_ways(opened: Open) -> None:
    shell = await opened("shell")

    answers = await asyncio.gather(*(shell.handler({"command": f"echo {n}"}, CALL) for n in range(100)))

    assert answers == [f"{n}\n" for n in range(100)]


@pytest.mark.parametrize("kind", ["shell", "python_code"])
async def test_they_are_done_once_and_may_change_the_workspace(opened: Open, kind: str) -> None:
    spec = await opened(kind, approval="always")

    assert (spec.effect, spec.writes, spec.approval) == (Effect.AT_MOST_ONCE, True, ApprovalRule.ALWAYS)


async def test_a_policy_says_which_commands_a_human_is_asked_for(opened: Open) -> None:
    shell = await opened("shell", approval="policy", policy={"allow": ["git status*"]})

    assert shell.approval is ApprovalRule.POLICY
    assert shell.asks is not None
    assert [shell.asks({"command": line}) for line in ("git status -s", "git push")] == [False, True]


@pytest.mark.parametrize(
    ("allow", "ask", "command", "asked"),
    [
        ([], [], "ls", True),
        (["ls*"], [], "ls -la", False),
        (["ls*"], [], "  ls  ", False),
        (["ls*"], [], "rm x", True),
        (["ls*"], [], "ls; rm x", True),
        (["ls*"], [], "ls && rm x", True),
        (["ls*"], [], "ls $(rm x)", True),
        (["ls*"], [], "ls `rm x`", True),
        (["ls*"], [], "ls\nrm x", True),
        (["ls*"], [], "ls > x", True),
        (["ls; rm x"], [], "ls; rm x", False),
        ([], ["rm *"], "ls", False),
        ([], ["rm *"], "rm x", True),
        ([], ["rm *"], "ls && rm x", True),
        ([], ["rm *"], "echo $(rm x)", True),
        (["*"], ["rm *"], "rm x", True),
    ],
)
def test_policies(allow: list[str], ask: list[str], command: str, asked: bool) -> None:
    assert asks(CommandPolicy(allow=allow, ask=ask), command) is asked


def test_without_a_policy_a_human_is_asked_for_everything() -> None:
    assert asks(None, "ls")


async def test_an_agent_gets_no_more_than_the_operator_allows(tmp_path: Path) -> None:
    toolsets = Toolsets(sandbox=Sandbox(most=Limits(memory_mb=500)))

    with pytest.raises(ToolsetInvalid) as refused:
        toolsets.build([{"type": "shell", "memory_mb": 501}], tmp_path)

    assert "memory_mb = 500 at most" in refused.value.message
    assert "HOLDFAST_SANDBOX_MEMORY_MB" in (refused.value.hint or "")
