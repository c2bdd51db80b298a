"""The Claude Code runtime: the Claude Agent SDK and the CLI that it carries."""

from runtimes.manifests.manifest import THROUGH_GATEWAYS, RuntimeManifest
from runtimes.types import Capability, RuntimeType, Wire

CLAUDE_CODE = RuntimeManifest(
    name=RuntimeType.CLAUDE_CODE.value,
    title="Claude Code",
    entry="runtimes.claude_code_runtime:ClaudeCodeRuntime",
    extra="claude",
    package="claude-agent-sdk",
    versions="==0.2.186",
    capabilities=THROUGH_GATEWAYS
    | {
        Capability.STREAMING,
        Capability.MULTI_AGENT,
        Capability.PLANNING,
        Capability.CODE_EXECUTION,
        Capability.VISION,
    },
    wires=frozenset({Wire.ANTHROPIC}),
    settings={
        "max_turns": int,
        "tool_call_limit": int,
        "max_budget_usd": (int, float),
        "permission_mode": str,
        "agents": dict,
        "network": bool,
        "cwd": str,
        "context_window": int,
    },
    own_toolsets=frozenset({"shell", "file_system", "task"}),
    memory_mb=250,
    slots=8,
)
