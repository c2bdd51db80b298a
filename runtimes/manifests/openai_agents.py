"""The runtime of the OpenAI Agents SDK: one agent, or several that hand the conversation over to each other."""

from runtimes.manifests.manifest import COUNT, TEXT, THROUGH_GATEWAYS, JsonSchema, RuntimeManifest
from runtimes.types import Capability, RuntimeType, Wire

_NAMES: JsonSchema = {"type": "array", "items": TEXT}
_AGENT: JsonSchema = {
    "type": "object",
    "properties": {"instructions": TEXT, "handoff_description": TEXT, "handoffs": _NAMES, "tools": _NAMES},
    "required": ["instructions"],
    "additionalProperties": False,
}

OPENAI_AGENTS = RuntimeManifest(
    name=RuntimeType.OPENAI_AGENTS.value,
    title="OpenAI Agents SDK",
    entry="runtimes.openai_agents_runtime:OpenAIAgentsRuntime",
    extra="openai-agents",
    package="openai-agents",
    versions=">=0.24,<0.25",
    capabilities=THROUGH_GATEWAYS | {Capability.STREAMING, Capability.MULTI_AGENT},
    wires=frozenset({Wire.OPENAI}),
    templates=frozenset({"customer-service-bot", "chat-assistant", "generic-conversation", "generic-task"}),
    settings={
        "max_turns": COUNT,
        "tool_call_limit": COUNT,
        "name": TEXT,
        "handoffs": _NAMES,
        "agents": {"type": "object", "additionalProperties": _AGENT},
    },
    environment={
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        "OPENAI_AGENTS_DONT_LOG_MODEL_DATA": "1",
        "OPENAI_AGENTS_DONT_LOG_TOOL_DATA": "1",
        "OPENAI_CUSTOM_HEADERS": "",
    },
)
