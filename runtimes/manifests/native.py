"""The native runtime: Holdfast's own loop; pydantic-ai only speaks the wires."""

from runtimes.manifests.manifest import COUNT, THROUGH_GATEWAYS, RuntimeManifest
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
    templates=frozenset({"chat-assistant", "generic-conversation", "generic-task", "generic-custom"}),
    settings={"max_turns": COUNT, "tool_call_limit": COUNT},
    environment={"OPENAI_CUSTOM_HEADERS": "", "ANTHROPIC_CUSTOM_HEADERS": ""},
)
