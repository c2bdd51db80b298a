"""From an agent's toolsets to its tools."""

from pathlib import Path
from typing import Any

import pytest

from runtimes.errors import ToolsetInvalid
from services.tools.toolsets import Toolsets
from tests.services.tools.desks import tools_of

SAMPLES = "tests.services.tools.sample_functions"
TOOLSETS = Toolsets([SAMPLES])


def test_tools_come_in_the_order_of_the_toolsets() -> None:
    toolsets: list[dict[str, Any]] = [
        {"type": "python", "functions": [f"{SAMPLES}:weather", f"{SAMPLES}:add"]},
        {"type": "file_system"},
    ]

    tools = tools_of(TOOLSETS.build(toolsets, Path("/nonexistent")))

    assert [tool.name for tool in tools] == [
        "weather",
        "add",
        "read_file",
        "write_file",
        "edit_file",
        "list_files",
        "search_files",
    ]


@pytest.mark.parametrize(
    ("toolset", "told"),
    [
        ({"type": "file_sytem"}, "Did you mean 'file_system'"),
        ({"type": "carrier_pigeon"}, "Known: file_system, mcp, python"),
        ({"type": "file_system", "rot": "/"}, "Its fields are"),
        ({"type": "file_system", "approval": "sometimes"}, "malformed at 'approval'"),
        ({"type": "file_system", "tools": {"writefile": {}}}, "no tool 'writefile'. Did you mean 'write_file'"),
        (
            {"type": "file_system", "tools": {"write_file": {"effect": "none"}}},
            "malformed at 'tools/write_file/effect'",
        ),
        ({"type": "shell", "policy": {"ask": ["rm *"]}}, "A policy needs approval to be 'policy'"),
        ({"type": "shell", "network": True}, "allows commands no network"),
        ({"type": "shell", "memory_mb": "1"}, "malformed at 'memory_mb'"),
        ({}, "no toolset type ''"),
        ({"type": ["python"]}, "no toolset type"),
        ({"type": "python"}, "malformed at 'functions'"),
        ({"type": "python", "functions": []}, "malformed at 'functions'"),
        ({"type": "python", "functions": "a:b"}, "malformed at 'functions'"),
        ({"type": "python", "functions": [f"{SAMPLES}:add"], "timeout_seconds": 0}, "malformed at 'timeout_seconds'"),
        ({"type": "file_system", "root": "/"}, "malformed at 'root'"),
    ],
)
def test_a_toolset_that_makes_no_sense_is_refused(toolset: dict[str, Any], told: str) -> None:
    with pytest.raises(ToolsetInvalid) as raised:
        TOOLSETS.build([toolset], Path("/nonexistent"))

    assert told in f"{raised.value.message} {raised.value.hint}"


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ToolsetInvalid, match="Two tools are called 'read_file'"):
        TOOLSETS.build([{"type": "file_system"}, {"type": "file_system"}], Path("/nonexistent"))
