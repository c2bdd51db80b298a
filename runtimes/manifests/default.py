"""The default runtime: Agno."""

from runtimes.manifests.manifest import COUNT, THROUGH_GATEWAYS, RuntimeManifest
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
    templates=frozenset(
        {"customer-service-bot", "chat-assistant", "generic-conversation", "generic-task", "generic-custom"}
    ),
    settings={"max_turns": COUNT, "tool_call_limit": COUNT},
    environment={
        "AGNO_TELEMETRY": "false",
        "AGNO_DEBUG": "false",
        "OPENAI_CUSTOM_HEADERS": "",
        "ANTHROPIC_CUSTOM_HEADERS": "",
    },
)
