"""The Claude Code runtime: the Claude Agent SDK and the CLI that it carries."""

from runtimes.manifests.manifest import AMOUNT, COUNT, FLAG, OBJECT, TEXT, THROUGH_GATEWAYS, RuntimeManifest
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
    templates=frozenset({"custom-code-agent", "task-execution-bot", "generic-task"}),
    settings={
        "max_turns": COUNT,
        "tool_call_limit": COUNT,
        "max_budget_usd": AMOUNT,
        "permission_mode": {"enum": ["default", "acceptEdits", "plan", "dontAsk", "bypassPermissions"]},
        "agents": OBJECT,
        "network": FLAG,
        "cwd": TEXT,
        "context_window": COUNT,
    },
    own_toolsets=frozenset({"shell", "file_system", "task"}),
    memory_mb=250,
    slots=8,
)
