"""Workspaces that move from one worker to another."""

import os
from hashlib import sha256
from pathlib import Path

import orjson
import pytest

from runtimes.errors import ConfigurationInvalid
from services.snapshots import Snapshots
from services.tools.spec import ToolFailed


class Blobs(dict[str, bytes]):
    """Keeps bytes, and counts how often it is asked to."""

    uploads = 0

    async def upload(self, data: bytes) -> None:
        self.uploads += 1
        self[sha256(data).hexdigest()] = data

    async def download(self, name: str) -> bytes:
        return self[name]


def of(workspace: Path, blobs: Blobs) -> Snapshots:
    workspace.mkdir(exist_ok=True)
    return Snapshots(workspace, blobs.upload, blobs.download)


def tree(workspace: Path) -> dict[str, str]:
    """Everything below, by path: a file's text and mode, a link's target."""
    found: dict[str, str] = {}
    for path in sorted(workspace.rglob("*")):
        name = str(path.relative_to(workspace))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = f"{path.stat().st_mode & 0o777:o} {path.read_text()}"
        else:
            found[name] = "/"
    return found


async def test_a_workspace_is_the_same_elsewhere(tmp_path: Path) -> None:
    blobs, here, there = Blobs(), tmp_path / "here", tmp_path / "there"
    snapshots = of(here, blobs)
    (here / "src" / "empty").mkdir(parents=True)
    (here / "src" / "run.sh").write_text("echo ü")
    (here / "src" / "run.sh").chmod(0o755)
    (here / "latest").symlink_to("src/run.sh")

    name = await snapshots.keep()
    await of(there, blobs).restore(name)

    assert tree(there) == tree(here)
    assert len(tree(there)) == 4


async def test_only_what_has_changed_is_kept_again(tmp_path: Path) -> None:
    blobs, here = Blobs(), tmp_path / "here"
    snapshots = of(here, blobs)
    for number in range(20):
        (here / f"{number}.txt").write_text(f"file {number}")
    await snapshots.keep()
    blobs.uploads = 0

    (here / "7.txt").write_text("file seven")

    assert await snapshots.keep() is not None
    assert blobs.uploads == 2
    assert await snapshots.keep() is None
    assert blobs.uploads == 2


async def test_what_a_lost_call_left_behind_is_gone(tmp_path: Path) -> None:
    blobs, here = Blobs(), tmp_path / "here"
    snapshots = of(here, blobs)
    (here / "kept.txt").write_text("kept")
    name = await snapshots.keep()
    (here / "half.txt").write_text("half")
    (here / "kept.txt").write_text("changed")

    await of(here, blobs).restore(name)

    assert tree(here) == {"kept.txt": "644 kept"}


async def test_without_a_manifest_a_workspace_is_empty(tmp_path: Path) -> None:
    here = tmp_path / "here"
    snapshots = of(here, Blobs())
    (here / "half.txt").write_text("half")

    await snapshots.restore(None)

    assert tree(here) == {}


async def test_a_link_in_the_way_is_not_written_through(tmp_path: Path) -> None:
    blobs, here, outside = Blobs(), tmp_path / "here", tmp_path / "outside"
    snapshots = of(here, blobs)
    outside.mkdir()
    (here / "data").mkdir()
    (here / "data" / "a.txt").write_text("inside")
    name = await snapshots.keep()
    (here / "data" / "a.txt").unlink()
    (here / "data").rmdir()
    (here / "data").symlink_to(outside)

    await of(here, blobs).restore(name)

    assert list(outside.iterdir()) == []
    assert tree(here) == {"data": "/", "data/a.txt": "644 inside"}


@pytest.mark.parametrize("path", ["../out.txt", "/tmp/out.txt", "a/../../out.txt"])
async def test_a_manifest_names_nothing_outside(tmp_path: Path, path: str) -> None:
    blobs = Blobs()
    await blobs.upload(b"x")
    manifest = {"files": {path: {"hash": sha256(b"x").hexdigest(), "mode": 0o644}}}
    await blobs.upload(orjson.dumps(manifest))

    with pytest.raises(ValueError, match="no path inside"):
        await of(tmp_path / "here", blobs).restore(sha256(orjson.dumps(manifest)).hexdigest())


async def test_what_links_outside_is_kept_as_a_link_only(tmp_path: Path) -> None:
    blobs, here = Blobs(), tmp_path / "here"
    (tmp_path / "secret.txt").write_text("SECRET")
    snapshots = of(here, blobs)
    (here / "link").symlink_to(tmp_path / "secret.txt")
    (here / "all").symlink_to(tmp_path)

    await snapshots.keep()

    assert not any(b"SECRET" in data for data in blobs.values())


@pytest.mark.parametrize(("code", "expected"), [("body_too_large", ToolFailed), ("forbidden", ConfigurationInvalid)])
async def test_a_file_that_the_control_plane_does_not_take_is_the_models_business(
    tmp_path: Path, code: str, expected: type[Exception]
) -> None:
    blobs = Blobs()
    (tmp_path / "large").write_bytes(b"x" * 1000)

    async def refuse(data: bytes) -> None:
        if len(data) >= 1000:
            refusal = ConfigurationInvalid("No.")
            refusal.code = code
            raise refusal
        await blobs.upload(data)

    snapshots = Snapshots(tmp_path, refuse, blobs.download)
    with pytest.raises(expected, match="No"):
        await snapshots.keep()
    (tmp_path / "large").unlink()

    assert await snapshots.keep() is not None
