"""Files inside one directory, and never outside of it."""

import errno
import os
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from uuid import uuid4

import jsonschema_rs

from services.tools.spec import ToolFailed

#: Bytes of a file that can be read or written, and of all files together.
FILE_LIMIT = 2 * 1024 * 1024
TOTAL_LIMIT = 256 * 1024 * 1024
#: Files that are looked at, and directories of a path.
FILES_LIMIT = 10_000
DEPTH_LIMIT = 32

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TEMPORARY = ".holdfast-"


class Workspace:
    """A directory that an execution has for itself; all paths are relative to it.

    Each directory on a path is opened from the one before it without following links, so nothing
    that changes between a check and its use leads outside. All methods raise ToolFailed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str) -> str:
        """A file's text."""
        parts = _parts(path)
        with _told(path), self._directory(parts[:-1]) as directory:
            return _read(directory, parts[-1], path)

    def write(self, path: str, text: str) -> int:
        """Replace a file or create it, with its directories; all or nothing. The number of bytes written."""
        parts, data = _parts(path), text.encode(errors="replace")
        if len(data) > FILE_LIMIT:
            raise ToolFailed(f"'{path}' would have {len(data)} bytes; {FILE_LIMIT} are the most.")
        self._check_room(len(data))
        with _told(path), self._directory(parts[:-1], create=True) as directory:
            _replace(directory, parts[-1], data)
        return len(data)

    def files(self, pattern: str = "**") -> Iterator[tuple[str, int]]:
        """Paths and sizes in bytes of the files that fit a glob pattern, in order."""
        wanted = tuple(PurePosixPath(pattern).parts)
        for path, size in self._walk():
            if _fits(PurePosixPath(path).parts, wanted):
                yield path, size

    def search(self, expression: str, pattern: str = "**") -> Iterator[tuple[str, int, str]]:
        """Path, line number from 1 and line of each line that a regular expression finds."""
        finder = _finder(expression)
        for path, size in self.files(pattern):
            if size > FILE_LIMIT:
                continue
            with suppress(ToolFailed):
                for number, line in enumerate(self.read(path).splitlines(), 1):
                    if finder.is_valid(line):
                        yield path, number, line

    def _walk(self) -> Iterator[tuple[str, int]]:
        seen = 0
        with _told("."), self._directory(()) as top:
            for directory, names, files, descriptor in os.fwalk(".", dir_fd=top, follow_symlinks=False):
                names.sort()
                if len(PurePosixPath(directory).parts) >= DEPTH_LIMIT:
                    names.clear()
                for name in sorted(files):
                    seen += 1
                    if seen > FILES_LIMIT:
                        return
                    if (size := _size(name, descriptor)) is not None:
                        yield str(PurePosixPath(directory, name)), size

    def _check_room(self, size: int) -> None:
        sizes = [used for _, used in self._walk()]
        if len(sizes) >= FILES_LIMIT or sum(sizes) + size > TOTAL_LIMIT:
            raise ToolFailed(f"The workspace is full: {FILES_LIMIT} files and {TOTAL_LIMIT} bytes are the most.")

    @contextmanager
    def _directory(self, parts: tuple[str, ...], *, create: bool = False) -> Generator[int]:
        descriptor = os.open(self._root, _DIRECTORY)
        try:
            for part in parts:
                if create:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o700, dir_fd=descriptor)
                inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)


def _parts(path: str) -> tuple[str, ...]:
    parts = PurePosixPath(path).parts
    inside = parts and ".." not in parts and not path.startswith("/") and "\x00" not in path
    if not inside or len(parts) > DEPTH_LIMIT or any(part.startswith(_TEMPORARY) for part in parts):
        raise ToolFailed(f"'{path[:200]}' is no path inside the workspace. Write it like notes/plan.md, without '..'.")
    return parts


def _size(name: str, directory: int) -> int | None:
    """None for what is no file of the workspace, or no longer there."""
    with suppress(FileNotFoundError):
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        return found.st_size if _is_own(found) and not name.startswith(_TEMPORARY) else None
    return None


def _read(directory: int, name: str, path: str) -> str:
    descriptor = os.open(name, _READ, dir_fd=directory)
    try:
        found = os.fstat(descriptor)
        if not _is_own(found):
            raise ToolFailed(f"'{path}' is no ordinary file of the workspace.")
        if found.st_size > FILE_LIMIT:
            raise ToolFailed(f"'{path}' has {found.st_size} bytes; {FILE_LIMIT} are the most that can be read.")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(FILE_LIMIT).decode()
    except UnicodeDecodeError:
        raise ToolFailed(f"'{path}' is no UTF-8 text.") from None
    finally:
        os.close(descriptor)


def _replace(directory: int, name: str, data: bytes) -> None:
    """A new file takes the old one's name, so that a link in its place is never written through."""
    temporary = f"{_TEMPORARY}{uuid4().hex}"
    descriptor = os.open(temporary, _CREATE, 0o600, dir_fd=directory)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        os.unlink(temporary, dir_fd=directory)
        raise


def _is_own(found: os.stat_result) -> bool:
    """A second hard link may be a file of somebody else."""
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def _fits(parts: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Match a path with a pattern, part by part; `**` stands for any number of parts."""
    reached = {0}
    for part in (*parts, None):
        reached = _beyond_stars(reached, wanted)
        if part is None:
            break
        stay = {at for at in reached if at < len(wanted) and wanted[at] == "**"}
        reached = stay | {at + 1 for at in reached - stay if at < len(wanted) and fnmatchcase(part, wanted[at])}
    return len(wanted) in reached


def _beyond_stars(reached: set[int], wanted: tuple[str, ...]) -> set[int]:
    for at in range(len(wanted)):
        if at in reached and wanted[at] == "**":
            reached = reached | {at + 1}
    return reached


def _finder(expression: str) -> jsonschema_rs.Validator:
    """An engine that needs linear time: Python's own can be made to hang by an expression."""
    try:
        return jsonschema_rs.validator_for({"pattern": expression}, pattern_options=jsonschema_rs.RegexOptions())
    except ValueError:
        raise ToolFailed(
            f"'{expression[:200]}' is no regular expression that can be used here (no look-around, no back references)."
        ) from None


@contextmanager
def _told(path: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, "'{path}': {reason}.")
        raise ToolFailed(reason.format(path=path, reason=error.strerror)) from error


_REASONS = {
    errno.ENOENT: "There is no '{path}'.",
    errno.EISDIR: "'{path}' is a directory.",
    errno.ELOOP: "'{path}' is or leads through a link, which is not followed.",
    errno.ENOTDIR: "'{path}' leads through something that is no directory.",
}
