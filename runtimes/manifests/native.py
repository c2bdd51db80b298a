"""The native runtime: Holdfast's own loop; pydantic-ai only speaks the wires."""

from runtimes.manifests.manifest import THROUGH_GATEWAYS, RuntimeManifest
from runtimes.types import Capability, RuntimeType, Wire

NATIVE = RuntimeManifest(
    name=RuntimeType.NATIVE.value,
    title="Native",
    entry="runtimes.native_runtime:NativeRuntime",
    extra="native",
    package="pydantic-ai-slim",
    versions=">=2.68,<2.69",
    capabilities=THROUGH_GATEWAYS | {Capability.STREAMING},
    wires=frozenset({Wire.OPENAI, Wire.ANTHROPIC}),
    settings={"max_turns": int, "tool_call_limit": int},
    environment={"OPENAI_CUSTOM_HEADERS": "", "ANTHROPIC_CUSTOM_HEADERS": ""},
)
