"""Adding a runtime to a running local stack, and removing one; whatever runs meanwhile keeps running."""

import fcntl
import platform
import re
import shutil
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import monotonic, sleep

from control_plane.local.added import (
    AddedRuntime,
    added_runtime,
    added_runtimes,
    forget,
    leaving_runtime,
    release,
    want,
)
from control_plane.local.directory import DataDirectory
from control_plane.local.environments import ChangeRefused, EnvironmentMaker, find_uv, lock_of
from control_plane.local.services import POOL
from control_plane.local.state import ProcessPhase, ProcessState, running_stack
from runtimes.errors import ConfigurationInvalid, RuntimeUnknown
from runtimes.manifests.known import KNOWN, manifest_of
from runtimes.manifests.manifest import RUNTIME_NAME, RuntimeManifest
from runtimes.meant import guess
from runtimes.plugins import in_project

POLL = 0.2
#: Seconds that a pool may take to be ready: frameworks are large, and machines busy.
START_SECONDS = 300.0
#: Seconds that a pool may take to drain.
STOP_SECONDS = 300.0


@dataclass(frozen=True)
class RuntimeChanges:
    """Changes to the stack of one data directory; `say` gets each step."""

    directory: DataDirectory
    say: Callable[[str], None]
    stop_seconds: float = STOP_SECONDS

    def add(self, name: str, source: str | None) -> AddedRuntime:
        """Make an environment, want its pool, and wait until it serves; one that was added before is replaced.

        Raises:
            ChangeRefused: it cannot be, or somebody is just changing it.
        """
        self._check_running()
        manifest = _of_plugin(name) if source else _bundled(name)
        with self._alone(name):
            return self._add(name, source, manifest)

    def add_project(self, directory: Path) -> AddedRuntime:
        """The same with the plugin in a directory; its runtime's name is the one in its manifest.

        Raises:
            ChangeRefused: as above, or there is no plugin, or there are several.
        """
        self._check_running()
        manifest = _in_project(directory)
        _of_plugin(manifest.name)
        with self._alone(manifest.name):
            return self._add(manifest.name, str(directory), manifest)

    def _add(self, name: str, source: str | None, manifest: RuntimeManifest | None) -> AddedRuntime:
        place = self.directory.runtime(name) / f"env-{datetime.now(UTC):%Y%m%d%H%M%S%f}"
        before = added_runtime(self.directory, name)
        with ExitStack() as failed:
            failed.callback(shutil.rmtree, place, ignore_errors=True)
            self._make(place, name, source)
            added = AddedRuntime(
                name=name,
                title=manifest.title if manifest else name,
                environment=place,
                holdfast=version("holdfast"),
                source=source and _absolute(source),
            )
            failed.callback(self._take_back, name, before)
            want(self.directory, added)
            self._wait_until_ready(added)
            failed.pop_all()
        if before is not None:
            shutil.rmtree(before.environment, ignore_errors=True)
        return added

    def remove(self, name: str) -> AddedRuntime:
        """Drain a runtime's pool, and delete its environment.

        Raises:
            ChangeRefused: it was not added, its pool does not end, or somebody is just changing it.
        """
        added = added_runtime(self.directory, name) or leaving_runtime(self.directory, name)
        if added is None:
            known = [each.name for each in added_runtimes(self.directory)]
            hint = guess(name, known) if known else "None was added yet."
            raise ChangeRefused(f"Runtime '{name[:80]}' was not added here.", code="runtime_not_added", hint=hint)
        with self._alone(name):
            release(self.directory, name)
            self._wait_until_gone(added)
            shutil.rmtree(self.directory.runtime(name), ignore_errors=True)
        return added

    @contextmanager
    def _alone(self, name: str) -> Generator[None]:
        """Hold the right to change a runtime; the kernel drops it with this process."""
        self.directory.runtimes.mkdir(mode=0o700, exist_ok=True)
        with (self.directory.runtimes / f".{name}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                text = f"Somebody is just adding or removing the runtime '{name}'."
                hint = "Wait until that has ended."
                raise ChangeRefused(text, code="change_in_progress", hint=hint) from None
            yield

    def _check_running(self) -> None:
        if running_stack(self.directory) is None:
            raise ChangeRefused(
                f"The local stack in {self.directory.root} is not running.",
                code="stack_not_running",
                hint="Start it with `holdfast up`. Elsewhere, deploy a pool: holdfast worker --pool NAME",
            )

    def _make(self, place: Path, name: str, source: str | None) -> None:
        maker = EnvironmentMaker(find_uv(), self.say)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if source is None:
            maker.from_lock(place, lock_of(name))
        else:
            maker.from_source(place, _absolute(source))

    def _take_back(self, name: str, before: AddedRuntime | None) -> None:
        if before is not None:
            want(self.directory, before)
        else:
            forget(self.directory, name)

    def _wait_until_ready(self, added: AddedRuntime) -> None:
        self.say(f"Starting its pool '{added.name}'.")
        asked, deadline = datetime.now(UTC).timestamp(), monotonic() + START_SECONDS
        while monotonic() < deadline:
            process = self._process(added)
            if process and (process.identity is None or process.identity.created >= asked - 1.0):
                if process.phase is ProcessPhase.READY:
                    return
                if process.phase is ProcessPhase.STOPPED:
                    break
            self._check_running()
            sleep(POLL)
        log = self.directory.log(added.process)
        raise ChangeRefused(f"The pool '{added.name}' did not start.", code="pool_not_started", hint=f"See {log}")

    def _wait_until_gone(self, added: AddedRuntime) -> None:
        deadline = monotonic() + self.stop_seconds
        while self._process(added) is not None:
            if monotonic() > deadline:
                text = f"The pool '{added.name}' still runs after {self.stop_seconds:.0f} s: its environment stays."
                hint = f"See {self.directory.log(added.process)}, then once more: holdfast runtimes remove {added.name}"
                raise ChangeRefused(text, code="pool_not_stopped", hint=hint)
            sleep(POLL)

    def _process(self, added: AddedRuntime) -> ProcessState | None:
        state = running_stack(self.directory)
        return next((each for each in state.processes if each.name == added.process), None) if state else None


def _bundled(name: str) -> RuntimeManifest:
    try:
        manifest = manifest_of(name, KNOWN)
    except RuntimeUnknown as unknown:
        hint = "A plugin is added with --from, its distribution's name or path."
        raise ChangeRefused(unknown.message, code=unknown.code, hint=hint) from unknown
    if name == POOL or not manifest.extra:
        raise ChangeRefused(f"Runtime '{name}' needs no environment of its own.", code="runtime_not_addable")
    check_python(manifest, platform.python_version())
    return manifest


def check_python(manifest: RuntimeManifest, version: str) -> None:
    """Environments are made with the Python that runs this.

    Raises:
        ChangeRefused: the runtime cannot be used under it.
    """
    if not manifest.supports_python(version):
        text = f"Runtime '{manifest.name}' needs Python {manifest.python}; this is Python {version}."
        hint = "Install Holdfast under such a Python, and start the stack with it."
        raise ChangeRefused(text, code="python_unsupported", hint=hint)


def _of_plugin(name: str) -> None:
    """A name that a plugin's runtime may have: it is a directory and a pool too."""
    if not re.fullmatch(RUNTIME_NAME, name):
        hint = "A runtime's name has lower-case letters, digits, _ and -, and begins with a letter."
        raise ChangeRefused(f"'{name[:80]}' is no name of a runtime.", code="runtime_not_addable", hint=hint)
    if name in KNOWN:
        hint = "Leave out --from, or give the plugin's runtime another name."
        raise ChangeRefused(f"Runtime '{name}' comes with Holdfast.", code="runtime_not_addable", hint=hint)


def _in_project(directory: Path) -> RuntimeManifest:
    """The manifest of the one plugin in a directory."""
    refused = partial(ChangeRefused, code="runtime_not_addable")
    try:
        found = [candidate.manifest() for candidate in in_project(directory.absolute())]
    except ConfigurationInvalid as invalid:
        raise refused(f"The plugin in {directory} cannot be used: {invalid.message}", hint=invalid.hint) from invalid
    if not found:
        raise refused(f"There is no plugin in {directory}.", hint="See docs/plugins.md.")
    if len(found) > 1:
        names = ", ".join(manifest.name for manifest in found)
        hint = f"Name one of them: holdfast runtimes add NAME --from {directory}"
        raise refused(f"There are several runtimes in {directory}: {names}.", hint=hint)
    return found[0]


def _absolute(source: str) -> str:
    """A path as it is from anywhere; a requirement as it was written."""
    path = Path(source)
    return str(path.resolve()) if path.exists() else source
