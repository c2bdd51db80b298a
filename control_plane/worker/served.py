"""Which runtimes a pool's worker serves."""

from collections.abc import Container, Sequence

import structlog

from runtimes.errors import RuntimeFailure, RuntimeNotInstalled, RuntimeUnknown
from runtimes.factory import InstalledRuntime, RuntimeFactory
from runtimes.manifests.manifest import RuntimeManifest

log = structlog.get_logger(__name__)


def served_runtimes(factory: RuntimeFactory, pool: str, runtimes: Sequence[str]) -> list[InstalledRuntime]:
    """What a pool serves: these runtimes, else the one that it is called after.

    Raises:
        RuntimeUnknown: there is none of that name.
        RuntimeNotInstalled: its framework is not installed here.
    """
    installed = {runtime.name: runtime for runtime in factory.installed()}
    if not runtimes and pool not in factory.supported():
        hint = f"Say what it serves: holdfast worker --pool {pool} --runtimes {','.join(sorted(installed))}"
        raise RuntimeUnknown(f"The pool '{pool}' is not called after a runtime.", hint=hint)
    wanted = dict.fromkeys(runtimes or [pool])
    for manifest in map(factory.manifest, wanted):
        _require_installed(manifest, installed)
    return [installed[name] for name in wanted]


def loaded_runtimes(factory: RuntimeFactory, served: Sequence[InstalledRuntime]) -> list[InstalledRuntime]:
    """Those that can be used here, with their frameworks imported; of the others the log says why they cannot.

    Raises:
        RuntimeNotInstalled: none can.
    """
    failures = [(runtime, _failure(factory, runtime.name)) for runtime in served]
    usable = [runtime for runtime, failure in failures if failure is None]
    broken = [failure for _, failure in failures if failure is not None]
    if not usable:
        hints = dict.fromkeys(failure.hint for failure in broken if failure.hint)
        raise RuntimeNotInstalled(" ".join(failure.message for failure in broken), hint=" ".join(hints))
    return usable


def _failure(factory: RuntimeFactory, name: str) -> RuntimeFailure | None:
    try:
        factory.load(name)
    except RuntimeFailure as failure:
        log.error("runtime is not served", runtime=name, error=failure.message, hint=failure.hint)
        return failure
    for doubt in factory.doubts(name):
        log.warning("runtime may not run well", runtime=name, doubt=doubt)
    return None


def _require_installed(manifest: RuntimeManifest, installed: Container[str]) -> None:
    if manifest.name not in installed:
        hint = f"pip install '{manifest.requirement}', here or in the environment of another pool."
        raise RuntimeNotInstalled(f"The runtime '{manifest.name}' is not installed here.", hint=hint)
