"""The files of an execution's workspace, kept after each tool call that may have changed them."""

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import orjson
from pydantic import BaseModel, Field

from runtimes.errors import RuntimeFailure
from runtimes.sandbox.trees import DEEPEST, remove_tree
from services.tools.spec import ToolFailed
from services.tools.workspace import FILES_LIMIT, TOTAL_LIMIT

#: What the control plane says to more bytes than it takes at once.
_TOO_LARGE = "body_too_large"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class KeptFile(BaseModel):
    """A file: the SHA-256 of its bytes, its permissions."""

    hash: str
    mode: int


class Manifest(BaseModel):
    """All that is in a workspace; paths are relative to it, links are kept as links."""

    files: dict[str, KeptFile] = Field(default_factory=dict[str, KeptFile])
    links: dict[str, str] = Field(default_factory=dict[str, str])
    directories: list[str] = Field(default_factory=list[str])


@dataclass(slots=True)
class _Scan:
    """A look at a workspace; `fresh` are the bytes that are not kept yet."""

    manifest: Manifest = field(default_factory=Manifest)
    fresh: dict[str, bytes] = field(default_factory=dict[str, bytes])


class Snapshots:
    """One workspace during one attempt.

    `upload(bytes)` keeps bytes by their SHA-256, `download(hash)` gives them back.
    """

    def __init__(
        self,
        workspace: Path,
        upload: Callable[[bytes], Awaitable[None]],
        download: Callable[[str], Awaitable[bytes]],
    ) -> None:
        self._workspace = workspace
        self._upload = upload
        self._download = download
        self._known: dict[tuple[int, int, int], str] = {}
        self._kept: set[str] = set()
        self._last = ""
        self._busy = asyncio.Lock()

    async def keep(self) -> str | None:
        """Keep what has changed; the hash of the manifest, None where nothing has.

        Raises:
            ToolFailed: the workspace has more files, or larger ones, than can be kept.
            RuntimeFailure: the control plane cannot be reached, or refuses for another reason.
        """
        async with self._busy:
            scan = await asyncio.to_thread(self._scan)
            raw = orjson.dumps(scan.manifest.model_dump(), option=orjson.OPT_SORT_KEYS)
            name = sha256(raw).hexdigest()
            if name == self._last:
                return None
            for data in (*scan.fresh.values(), raw):
                await self._sent(data)
            self._kept |= scan.fresh.keys()
            self._last = name
            return name

    async def restore(self, name: str | None) -> None:
        """Make the workspace what a manifest says, whatever is there now; None is an empty one."""
        manifest = Manifest() if name is None else Manifest.model_validate_json(await self._download(name))
        self._kept = {kept.hash for kept in manifest.files.values()}
        self._last = name or ""
        with suppress(ToolFailed, FileNotFoundError):
            if (await asyncio.to_thread(self._scan)).manifest == manifest:
                return
        await self._rebuild(manifest)

    async def _sent(self, data: bytes) -> None:
        try:
            await self._upload(data)
        except RuntimeFailure as failure:
            if failure.code != _TOO_LARGE:
                raise
            raise ToolFailed(
                f"The workspace cannot be kept: one file has {len(data)} bytes. {failure.message}"
            ) from None

    async def _rebuild(self, manifest: Manifest) -> None:
        """A new directory takes the old one's place: nothing that is there is written through."""
        new = self._workspace.with_name(f".{self._workspace.name}-{uuid4().hex}")
        new.mkdir(parents=True, mode=0o700)
        try:
            for directory in sorted(manifest.directories):
                (new / _inside(directory)).mkdir(parents=True, exist_ok=True)
            for path, kept in manifest.files.items():
                await asyncio.to_thread(_write, new / _inside(path), await self._download(kept.hash), kept.mode)
            for path, target in manifest.links.items():
                os.symlink(target, new / _inside(path))
            await asyncio.to_thread(remove_tree, self._workspace)
            new.rename(self._workspace)
        finally:
            await asyncio.to_thread(remove_tree, new)

    def _scan(self) -> _Scan:
        scan, total = _Scan(), 0
        for number, (path, name, directory, found) in enumerate(_entries(self._workspace)):
            _check(0, number - len(scan.manifest.files), total)
            if stat.S_ISDIR(found.st_mode):
                scan.manifest.directories.append(path)
            elif stat.S_ISLNK(found.st_mode):
                scan.manifest.links[path] = os.readlink(name, dir_fd=directory)
            elif stat.S_ISREG(found.st_mode):
                total += found.st_size
                _check(len(scan.manifest.files), 0, total)
                kept = KeptFile(hash=self._hash(name, directory, found, scan), mode=stat.S_IMODE(found.st_mode))
                scan.manifest.files[path] = kept
        return scan

    def _hash(self, name: str, directory: int, found: os.stat_result, scan: _Scan) -> str:
        """Of a file that looks as before, the hash from before."""
        look = (found.st_ino, found.st_size, found.st_mtime_ns)
        known = self._known.get(look)
        if known is not None and known in self._kept:
            return known
        with open(os.open(name, _READ, dir_fd=directory), "rb") as file:
            data = file.read(TOTAL_LIMIT + 1)
        digest = self._known[look] = sha256(data).hexdigest()
        if digest not in self._kept:
            scan.fresh[digest] = data
        return digest


def _entries(workspace: Path) -> Iterator[tuple[str, str, int, os.stat_result]]:
    """Path, name, directory and state of all that is below; links are not followed.

    Raises:
        ToolFailed: it is nested too deeply.
    """
    for top, directories, files, descriptor in os.fwalk(workspace, follow_symlinks=False):
        directories.sort()
        if len(Path(top).parts) - len(workspace.parts) > DEEPEST:
            raise ToolFailed(
                f"The workspace cannot be kept: it has more than {DEEPEST} directories within one another."
            )
        for name in sorted((*directories, *files)):
            path = os.path.relpath(os.path.join(top, name), workspace)
            if not path.isprintable() and any("\udc80" <= letter <= "\udcff" for letter in path):
                continue
            with suppress(FileNotFoundError):
                yield path, name, descriptor, os.stat(name, dir_fd=descriptor, follow_symlinks=False)


def _check(files: int, others: int, total: int) -> None:
    if files >= FILES_LIMIT or others >= FILES_LIMIT or total > TOTAL_LIMIT:
        raise ToolFailed(
            f"The workspace cannot be kept: {FILES_LIMIT} files, as many directories, and {TOTAL_LIMIT} bytes "
            "are the most. Remove what is not needed."
        )


def _inside(path: str) -> str:
    """A path of a manifest, which names nothing outside."""
    if os.path.isabs(path) or ".." in Path(path).parts:
        raise ValueError(f"'{path}' is no path inside a workspace")
    return path


def _write(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
