"""What Holdfast knows of the runtime without importing its framework."""

from runtimes.manifests.manifest import RuntimeManifest
from runtimes.types import Capability, Wire

ONESHOT = RuntimeManifest(
    name="oneshot",
    title="One shot",
    entry="holdfast_oneshot.runtime:OneShotRuntime",
    distribution="holdfast-oneshot",
    contract=1,
    package="httpx",
    versions=">=0.28,<1",
    capabilities=frozenset({Capability.STREAMING, Capability.MEMORY, Capability.STRUCTURED_OUTPUT}),
    wires=frozenset({Wire.OPENAI}),
    settings={"suffix": {"type": "string", "maxLength": 100}},
    memory_mb=5,
)
