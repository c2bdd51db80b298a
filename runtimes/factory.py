"""Makes runtimes by name; imports a framework when its first execution comes."""

import os
import platform
from collections.abc import Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from runtimes.base import AgentRuntime, BaseRuntime, Cancellations, ControlPlane, Shared
from runtimes.errors import RuntimeNotInstalled
from runtimes.import_paths import module_at, refused_as
from runtimes.manifests.known import KNOWN, manifest_of
from runtimes.manifests.manifest import RuntimeManifest


class InstalledRuntime(NamedTuple):
    """A runtime whose framework is installed here; `version` is the framework's, `manifest` JSON."""

    name: str
    title: str
    version: str
    capabilities: list[str]
    manifest: dict[str, Any]


class RuntimeFactory:
    """One per process: holds what the runtimes of a kind share, such as HTTP clients."""

    def __init__(self, manifests: Mapping[str, RuntimeManifest] = KNOWN) -> None:
        self._manifests = manifests
        self._adapters: dict[str, type[BaseRuntime]] = {}
        self._shared: dict[str, Shared | None] = {}

    def create_runtime(
        self,
        runtime_type: str,
        control_plane_client: ControlPlane | None = None,
        cancellation_manager: Cancellations | None = None,
    ) -> AgentRuntime:
        """A fresh runtime, for one execution only.

        Raises:
            RuntimeUnknown: no manifest has that name.
            RuntimeNotInstalled: its framework is not installed in this environment, or cannot be used there.
        """
        adapter = self.load(runtime_type)
        return adapter(control_plane_client, cancellation_manager, self._shared[runtime_type])

    def load(self, runtime_type: str) -> type[BaseRuntime]:
        """Import a runtime's framework now, so that the first execution does not wait for it.

        Raises:
            RuntimeUnknown, RuntimeNotInstalled: as `create_runtime`.
        """
        if runtime_type not in self._adapters:
            adapter = _imported(self.manifest(runtime_type))
            told = f"Runtime '{runtime_type}' cannot be set up here"
            self._shared[runtime_type] = refused_as(RuntimeNotInstalled, told, partial(_shared, adapter))
            self._adapters[runtime_type] = adapter
        return self._adapters[runtime_type]

    def manifest(self, runtime_type: str) -> RuntimeManifest:
        """A runtime's manifest.

        Raises:
            RuntimeUnknown: nothing has that name.
        """
        return manifest_of(runtime_type, self._manifests)

    def supported(self) -> list[str]:
        """The names of all runtimes, installed or not."""
        return sorted(self._manifests)

    def installed(self) -> list[InstalledRuntime]:
        """The runtimes that can run here, found without importing their frameworks."""
        found = ((manifest, installed_version(manifest)) for manifest in self._manifests.values())
        return [
            InstalledRuntime(
                manifest.name,
                manifest.title,
                installed,
                sorted(each.value for each in manifest.capabilities),
                manifest.model_dump(mode="json"),
            )
            for manifest, installed in found
            if installed
        ]

    def doubts(self, runtime_type: str) -> list[str]:
        """Whether the framework's version here is one that the adapter was not made for, one sentence each."""
        manifest = self.manifest(runtime_type)
        version = installed_version(manifest)
        if not version or manifest.supports(version):
            return []
        return [f"{manifest.package} {version} is installed; the adapter was made for {manifest.versions}."]

    async def close(self) -> None:
        """Free what the runtimes share."""
        for shared in self._shared.values():
            if shared is not None:
                await shared.close()
        self._shared.clear()
        self._adapters.clear()


def _shared(adapter: type[BaseRuntime]) -> Shared | None:
    return adapter.share()


def _imported(manifest: RuntimeManifest) -> type[BaseRuntime]:
    python = platform.python_version()
    if not manifest.supports_python(python):
        raise RuntimeNotInstalled(
            f"Runtime '{manifest.name}' cannot be used under Python {python}: it was made for {manifest.python}.",
            hint=f"Run a worker for it under a Python that is {manifest.python}.",
        )
    os.environ.update(manifest.environment)
    try:
        module = module_at(manifest.entry, RuntimeNotInstalled)
        return getattr(module, manifest.entry.partition(":")[2])
    except (RuntimeNotInstalled, AttributeError) as error:
        raise RuntimeNotInstalled(
            f"Runtime '{manifest.name}' cannot be used here: {error}.",
            hint=f"uv add '{manifest.requirement}' (or: pip install '{manifest.requirement}')",
        ) from error


def installed_version(manifest: RuntimeManifest) -> str:
    """The version of a runtime's framework in this environment; empty if it is not installed."""
    try:
        return version(manifest.package)
    except PackageNotFoundError:
        return ""
