"""The scripted runtime: no framework and no model, for tests and benchmarks."""

from runtimes.manifests.manifest import THROUGH_GATEWAYS, RuntimeManifest
from runtimes.types import Capability, RuntimeType

SCRIPTED = RuntimeManifest(
    name=RuntimeType.SCRIPTED.value,
    title="Scripted (no model)",
    entry="runtimes.scripted_runtime:ScriptedRuntime",
    package="holdfast",
    capabilities=THROUGH_GATEWAYS | {Capability.STREAMING},
    wires=frozenset(),
    memory_mb=1,
)
