"""Which runtimes a pool's worker serves."""

from collections.abc import Container, Sequence

from runtimes.errors import RuntimeNotInstalled, RuntimeUnknown
from runtimes.factory import InstalledRuntime, RuntimeFactory
from runtimes.manifests.manifest import RuntimeManifest


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


def _require_installed(manifest: RuntimeManifest, installed: Container[str]) -> None:
    if manifest.name not in installed:
        hint = f"pip install '{manifest.requirement}', here or in the environment of another pool."
        raise RuntimeNotInstalled(f"The runtime '{manifest.name}' is not installed here.", hint=hint)
