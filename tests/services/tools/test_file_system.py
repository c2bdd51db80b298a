"""The toolset `file_system`, and the attempts to leave its directory."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runtimes.types import ToolResult
from services.tools import workspace
from services.tools.toolsets import Toolsets
from tests.services.tools.desks import tools_of

Use = Callable[..., Awaitable[ToolResult]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("SECRET")
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


@pytest.fixture
def use(root: Path) -> Use:
    tools = tools_of(Toolsets().build([{"type": "file_system"}], root))
    by_name = {tool.name: tool for tool in tools}

    async def call(name: str, **arguments: Any) -> ToolResult:
        return await by_name[name].call("c1", arguments)

    return call


async def test_what_is_written_can_be_read(use: Use, root: Path) -> None:
    written = await use("write_file", path="notes/day 1/plan.md", content="eins\nzwei ü\n")

    assert written == ToolResult("Wrote 13 bytes to notes/day 1/plan.md.")
    assert await use("read_file", path="./notes/day 1/plan.md") == ToolResult("eins\nzwei ü\n")
    assert (root / "notes/day 1/plan.md").read_text() == "eins\nzwei ü\n"


async def test_a_file_can_be_read_in_parts(use: Use) -> None:
    await use("write_file", path="a", content="1\n2\n3\n4\n5\n")

    result = await use("read_file", path="a", first_line=2, lines=2)

    assert result.text == "2\n3\n\n[2 more lines]"


async def test_a_piece_of_a_file_can_be_replaced(use: Use, root: Path) -> None:
    await use("write_file", path="a.py", content="x = 1\ny = 1\n")

    result = await use("edit_file", path="a.py", old_text="x = 1", new_text="x = 2")

    assert result == ToolResult("Replaced 1 place in a.py.")
    assert (root / "a.py").read_text() == "x = 2\ny = 1\n"


async def test_an_edit_has_to_be_unique_or_meant_for_all(use: Use, root: Path) -> None:
    await use("write_file", path="a.py", content="1 1")

    unclear = await use("edit_file", path="a.py", old_text="1", new_text="2")
    absent = await use("edit_file", path="a.py", old_text="3", new_text="2")
    meant = await use("edit_file", path="a.py", old_text="1", new_text="2", replace_all=True)

    assert "contains the old text 2 times" in unclear.text
    assert "does not contain the old text" in absent.text
    assert meant == ToolResult("Replaced 2 places in a.py.")
    assert (root / "a.py").read_text() == "2 2"


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("**", ["a.py (1)", "src/b.py (1)", "src/deep/c.py (1)", "src/deep/d.txt (1)"]),
        ("*.py", ["a.py (1)"]),
        ("**/*.py", ["a.py (1)", "src/b.py (1)", "src/deep/c.py (1)"]),
        ("src/**/c.*", ["src/deep/c.py (1)"]),
        ("src/*", ["src/b.py (1)"]),
        ("nothing", ["No files."]),
    ],
)
async def test_files_are_listed_by_pattern(use: Use, pattern: str, found: list[str]) -> None:
    for path in ("src/deep/d.txt", "src/deep/c.py", "src/b.py", "a.py"):
        await use("write_file", path=path, content="x")

    result = await use("list_files", pattern=pattern)

    assert result.text.splitlines() == found


async def test_files_are_searched_line_by_line(use: Use) -> None:
    await use("write_file", path="a.py", content="import os\nx = 1\n")
    await use("write_file", path="src/b.py", content="x = 22\n")

    result = await use("search_files", expression=r"^x = \d+$", pattern="**/*.py")

    assert result.text.splitlines() == ["a.py:2: x = 1", "src/b.py:1: x = 22"]


async def test_an_evil_expression_takes_no_time(use: Use) -> None:
    await use("write_file", path="a", content="a" * 100_000 + "!")

    began = time.perf_counter()
    result = await use("search_files", expression="^(a+)+$")

    assert result.text == "None."
    assert time.perf_counter() - began < 1


async def test_an_evil_pattern_takes_no_time(use: Use) -> None:
    await use("write_file", path="a" * 200, content="x")

    began = time.perf_counter()
    await use("list_files", pattern="/".join(["**"] * 30) + "/" + "*a" * 40 + "b")

    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("expression", ["(", "(?=a)b", r"(a)\1"])
async def test_an_expression_that_cannot_be_used_is_told(use: Use, expression: str) -> None:
    result = await use("search_files", expression=expression)

    assert result.is_error
    assert "no regular expression" in result.text


@pytest.mark.parametrize(
    "path",
    ["../secret.txt", "a/../../secret.txt", "/etc/passwd", "..", "/", ".", "a\x00b", "//etc/passwd", "a/" * 40 + "b"],
)
async def test_no_path_leads_outside(use: Use, path: str) -> None:
    for result in (
        await use("read_file", path=path),
        await use("write_file", path=path, content="x"),
        await use("edit_file", path=path, old_text="S", new_text="x"),
    ):
        assert result.is_error
        assert "is no path inside the workspace" in result.text


async def test_a_link_to_a_file_outside_is_neither_read_nor_written(use: Use, root: Path) -> None:
    secret = root.parent / "secret.txt"
    (root / "link").symlink_to(secret)

    read = await use("read_file", path="link")
    edited = await use("edit_file", path="link", old_text="SECRET", new_text="x")
    await use("write_file", path="link", content="x")

    assert "link" in read.text
    assert read.is_error
    assert edited.is_error
    assert secret.read_text() == "SECRET"


@pytest.mark.parametrize("target", ["..", "/", "/etc"])
async def test_a_link_to_a_directory_outside_is_not_followed(use: Use, root: Path, target: str) -> None:
    (root / "door").symlink_to(target)

    read = await use("read_file", path="door/secret.txt")
    written = await use("write_file", path="door/new.txt", content="x")
    listed = await use("list_files")
    found = await use("search_files", expression="SECRET|root")

    assert read.is_error
    assert written.is_error
    assert listed.text == "No files."
    assert found.text == "None."
    assert not (root.parent / "new.txt").exists()


async def test_a_workspace_that_is_a_link_is_not_followed(root: Path) -> None:
    (root.parent / "alias").symlink_to(root.parent)
    tools = tools_of(Toolsets().build([{"type": "file_system"}], root.parent / "alias"))

    result = await tools[0].call("c1", {"path": "secret.txt"})

    assert result.is_error


async def test_a_hard_link_to_a_file_outside_is_neither_read_nor_written(use: Use, root: Path) -> None:
    secret = root.parent / "secret.txt"
    os.link(secret, root / "twin")

    read = await use("read_file", path="twin")
    await use("write_file", path="twin", content="x")
    found = await use("search_files", expression="SECRET")

    assert read == ToolResult("'twin' is no ordinary file of the workspace.", is_error=True)
    assert found.text == "None."
    assert secret.read_text() == "SECRET"


async def test_pipes_sockets_and_devices_are_no_files(use: Use, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")

        results = [await asyncio.wait_for(use("read_file", path=name), 5) for name in ("pipe", "socket")]

    assert all(result.is_error for result in results)
    assert (await use("list_files")).text == "No files."


async def test_a_directory_that_becomes_a_link_meanwhile_leads_nowhere(use: Use, root: Path) -> None:
    stop = threading.Event()
    inside, aside, link = root / "d", root / "e", root / "l"
    inside.mkdir()
    link.symlink_to(root.parent)

    def swap() -> None:
        while not stop.is_set():
            for source, target in ((inside, aside), (link, inside), (inside, link), (aside, inside)):
                with suppress(OSError):
                    source.rename(target)

    swapper = threading.Thread(target=swap)
    swapper.start()
    results = [await use("read_file", path="d/secret.txt") for _ in range(300)]
    for number in range(100):
        await use("write_file", path=f"d/new{number}.txt", content="x")
    stop.set()
    swapper.join()

    assert not [result for result in results if "SECRET" in result.text]
    assert sorted(os.listdir(root.parent)) == ["mine", "secret.txt"]


async def test_sizes_are_limited(use: Use, root: Path) -> None:
    (root / "large").write_bytes(b"x" * (workspace.FILE_LIMIT + 1))

    read = await use("read_file", path="large")
    written = await use("write_file", path="new", content="x" * (workspace.FILE_LIMIT + 1))

    assert "are the most that can be read" in read.text
    assert "are the most" in written.text
    assert not (root / "new").exists()


async def test_a_full_workspace_takes_no_more(use: Use, root: Path) -> None:
    with (root / "sparse").open("wb") as file:
        file.truncate(workspace.TOTAL_LIMIT)

    result = await use("write_file", path="new", content="x")

    assert result.is_error
    assert "workspace is full" in result.text


async def test_what_is_no_text_is_told(use: Use, root: Path) -> None:
    (root / "image").write_bytes(b"\x89PNG\xff")

    assert await use("read_file", path="image") == ToolResult("'image' is no UTF-8 text.", is_error=True)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("absent", "There is no 'absent'."),
        ("directory", "'directory' is no ordinary file of the workspace."),
        ("file/below", "'file/below' leads through something that is no directory."),
        ("n" * 300, f"'{'n' * 300}': File name too long."),
    ],
)
async def test_what_cannot_be_read_is_told_without_the_hosts_paths(use: Use, root: Path, path: str, told: str) -> None:
    (root / "directory").mkdir()
    (root / "file").write_text("x")

    result = await use("read_file", path=path)

    assert result == ToolResult(told, is_error=True)


async def test_nothing_is_left_of_a_write_that_failed(use: Use, root: Path) -> None:
    (root / "directory").mkdir()

    result = await use("write_file", path="directory", content="x")

    assert result == ToolResult("'directory' is a directory.", is_error=True)
    assert os.listdir(root) == ["directory"]


async def test_descriptors_are_closed(use: Use) -> None:
    await use("write_file", path="a/b/c", content="x")
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(20):
        await use("read_file", path="a/b/c")
        await use("read_file", path="a/b/none")
        await use("read_file", path="a/b")
        await use("list_files", pattern="**")
        await use("write_file", path="a", content="x")

    assert len(os.listdir("/proc/self/fd")) <= before
