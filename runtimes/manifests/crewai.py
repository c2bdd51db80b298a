"""The CrewAI runtime: one agent, or a crew of several with their tasks."""

import os
import tempfile

from runtimes.manifests.manifest import COUNT, FLAG, TEXT, THROUGH_GATEWAYS, JsonSchema, RuntimeManifest
from runtimes.types import Capability, RuntimeType, Wire

#: CrewAI keeps files of its own, which nobody here reads again.
_STORAGE = f"{tempfile.gettempdir()}/holdfast-crewai-{os.getuid()}"

_NAMES: JsonSchema = {"type": "array", "items": TEXT}
_AGENT: JsonSchema = {
    "type": "object",
    "properties": {"role": TEXT, "goal": TEXT, "backstory": TEXT, "tools": _NAMES, "allow_delegation": FLAG},
    "required": ["role", "goal", "backstory"],
    "additionalProperties": False,
}
_TASK: JsonSchema = {
    "type": "object",
    "properties": {"name": TEXT, "description": TEXT, "expected_output": TEXT, "agent": TEXT, "context": _NAMES},
    "required": ["description", "expected_output"],
    "additionalProperties": False,
}

CREWAI = RuntimeManifest(
    name=RuntimeType.CREWAI.value,
    title="CrewAI",
    entry="runtimes.crewai_runtime:CrewAIRuntime",
    extra="crewai",
    package="crewai",
    versions=">=1.15.30,<1.16",
    python=">=3.11,<3.14",
    capabilities=THROUGH_GATEWAYS | {Capability.STREAMING, Capability.MULTI_AGENT},
    wires=frozenset({Wire.OPENAI}),
    templates=frozenset({"task-execution-bot", "workflow-agent", "generic-task"}),
    settings={
        "max_turns": COUNT,
        "tool_call_limit": COUNT,
        "role": TEXT,
        "goal": TEXT,
        "agents": {"type": "object", "additionalProperties": _AGENT},
        "tasks": {"type": "array", "items": _TASK},
        "process": {"enum": ["sequential", "hierarchical"]},
        "manager_agent": TEXT,
    },
    environment={
        "CREWAI_DISABLE_TELEMETRY": "true",
        "CREWAI_DISABLE_TRACKING": "true",
        "CREWAI_TRACING_ENABLED": "false",
        "CREWAI_DISABLE_VERSION_CHECK": "true",
        "CREWAI_STORAGE_DIR": _STORAGE,
        "ANONYMIZED_TELEMETRY": "false",
        "OPENAI_CUSTOM_HEADERS": "",
    },
    slots=50,
)
