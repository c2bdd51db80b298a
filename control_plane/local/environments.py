"""Environments of runtimes beside a local stack, made by uv."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import control_plane
from control_plane.local.own_wheel import packed, source_tree

#: Where a lock is: in the distribution, or in a checkout.
_PACKAGE = Path(control_plane.__file__).parent
_LOCKS = (_PACKAGE / "locks", _PACKAGE.parent / "locks")
#: A checkout's own uv.
_TOOLS = Path(".tools/bin/uv")
#: What uv says where it reaches no package index.
_UNREACHABLE = ("error sending request", "failed to fetch", "connection refused", "dns error", "timed out")
#: Seconds that one command of uv may take; a framework is some hundred megabytes.
_PATIENCE = 1800.0
_LINES = 8


class ChangeRefused(Exception):
    """A runtime cannot be added or removed; `code` is stable, `hint` says what to do."""

    def __init__(self, message: str, *, code: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def find_uv() -> Path:
    """The uv beside this interpreter, on the path, or of the checkout.

    Raises:
        ChangeRefused: there is none.
    """
    tree = source_tree()
    found = [Path(sys.executable).with_name("uv"), *([tree / _TOOLS] if tree else [])]
    if on_path := shutil.which("uv"):
        found.insert(1, Path(on_path))
    there = next((path for path in found if path.is_file()), None)
    if there is None:
        raise ChangeRefused("uv is not installed.", code="uv_missing", hint="pip install 'holdfast[local]'")
    return there


def lock_of(runtime: str) -> Path:
    """The lock file of a runtime that Holdfast ships.

    Raises:
        ChangeRefused: it is not there.
    """
    found = next((path for place in _LOCKS if (path := place / f"{runtime}.txt").is_file()), None)
    if found is None:
        text = f"Runtime '{runtime}' has no lock file."
        raise ChangeRefused(text, code="environment_failed", hint="Install Holdfast again.")
    return found


@dataclass(frozen=True)
class EnvironmentMaker:
    """Makes environments with the Python that runs this; `say` gets each step."""

    uv: Path
    say: Callable[[str], None]

    def from_lock(self, place: Path, lock: Path) -> None:
        """The packages of a lock file, and this Holdfast.

        Raises:
            ChangeRefused: uv did not succeed.
        """
        self._make(place)
        self.say(f"Installing {_count(lock)} packages.")
        self._uv("pip", "sync", "--require-hashes", "--python", str(_python(place)), str(lock))
        self._install_holdfast(place, "--no-deps")

    def from_source(self, place: Path, source: str) -> None:
        """A plugin's distribution, by its requirement or path, and this Holdfast with its dependencies.

        Raises:
            ChangeRefused: uv did not succeed.
        """
        self._make(place)
        self.say(f"Installing {source}.")
        self._install_holdfast(place, source)

    def _make(self, place: Path) -> None:
        self._uv("venv", "--quiet", "--python", sys.executable, str(place))

    def _install_holdfast(self, place: Path, *more: str) -> None:
        with tempfile.TemporaryDirectory(prefix="holdfast-wheel-") as directory:
            wheel = self._wheel(Path(directory))
            self._uv("pip", "install", "--python", str(_python(place)), str(wheel), *more)

    def _wheel(self, directory: Path) -> Path:
        tree = source_tree()
        if tree is None:
            return packed(directory)
        self._uv("build", "--wheel", "--quiet", "--out-dir", str(directory), str(tree))
        return next(directory.glob("*.whl"))

    def _uv(self, *arguments: str) -> None:
        try:
            done = subprocess.run(
                [self.uv, *arguments], capture_output=True, text=True, check=False, timeout=_PATIENCE, cwd="/"
            )
        except subprocess.TimeoutExpired as late:
            text = f"uv {arguments[0]} did not end in {late.timeout:.0f} s."
            raise ChangeRefused(text, code="environment_failed") from late
        if done.returncode != 0:
            raise _failed(arguments, done.stderr.strip())


def _failed(arguments: tuple[str, ...], said: str) -> ChangeRefused:
    told = "\n".join(said.splitlines()[-_LINES:])
    if any(sign in said.lower() for sign in _UNREACHABLE):
        hint = "Check the network, the proxy and the package index (UV_DEFAULT_INDEX, SSL_CERT_FILE)."
        return ChangeRefused(f"Packages cannot be fetched:\n{told}", code="packages_unreachable", hint=hint)
    return ChangeRefused(f"uv {' '.join(arguments[:2])} failed:\n{told}", code="environment_failed")


def _python(place: Path) -> Path:
    return place / "bin" / "python"


def _count(lock: Path) -> int:
    return sum("==" in line for line in lock.read_text().splitlines())
