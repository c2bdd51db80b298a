"""The default runtime: Agno."""

from runtimes.manifests.manifest import THROUGH_GATEWAYS, RuntimeManifest
from runtimes.types import Capability, RuntimeType, Wire

DEFAULT = RuntimeManifest(
    name=RuntimeType.DEFAULT.value,
    title="Agno",
    entry="runtimes.default_runtime:DefaultRuntime",
    extra="agno",
    package="agno",
    versions=">=3.1.10,<3.2",
    capabilities=THROUGH_GATEWAYS | {Capability.STREAMING},
    wires=frozenset({Wire.OPENAI, Wire.ANTHROPIC}),
    settings={"max_turns": int, "tool_call_limit": int},
    environment={
        "AGNO_TELEMETRY": "false",
        "AGNO_DEBUG": "false",
        "OPENAI_CUSTOM_HEADERS": "",
        "ANTHROPIC_CUSTOM_HEADERS": "",
    },
)
