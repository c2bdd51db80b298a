"""How the Claude Code CLI is started: its settings, its flags, its environment."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from claude_agent_sdk import AgentDefinition
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from runtimes.claude_code_sandbox import HOME, RELAY_SOCKET
from runtimes.errors import ConfigurationInvalid
from runtimes.sandbox.command_line import WORKSPACE
from runtimes.types import RuntimeExecutionContext

#: The name of the server that has our tools; the CLI is told to leave it out of their names.
SERVER = "holdfast"
#: Says to the CLI that a turn goes on; the relay takes it out of every request again.
GO_ON = "[holdfast: the turn goes on]"
#: The CLI's own tools by the toolsets that they stand for.
BUILT_IN: Mapping[str, tuple[str, ...]] = {
    "shell": ("Bash",),
    "file_system": ("Read", "Write", "Edit", "Glob", "Grep"),
    "task": ("Task",),
}
MAX_TURNS = 100
TOOL_CALL_LIMIT = 500
_DIRECTORY = re.compile(r"([\w-][\w.-]*(/[\w-][\w.-]*)*)?")
_CWD = "A path below the workspace, such as 'src/app': letters, digits, '.', '_', '-'."
MODES = ("default", "acceptEdits", "plan", "dontAsk", "bypassPermissions")

_MODEL_NAMES = (
    "ANTHROPIC_MODEL",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "ANTHROPIC_DEFAULT_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_FABLE_MODEL",
    "CLAUDE_CODE_SUBAGENT_MODEL",
)
#: The CLI calls nobody but the model, retries nothing, and leaves the bounds of calls to the gateways.
_SWITCHES = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_MAX_RETRIES": "0",
    "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    "CLAUDE_CODE_DISABLE_REFUSAL_RETRY": "1",
    "CLAUDE_CODE_DISABLE_REFUSAL_FALLBACK": "1",
    "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
    "CLAUDE_CODE_ENTRYPOINT": "sdk-py",
    "CLAUDE_CODE_SDK_READS_SESSION_STATE": "1",
    "CLAUDE_AGENT_SDK_MCP_NO_PREFIX": "1",
    "ENABLE_TOOL_SEARCH": "false",
    "MAX_MCP_OUTPUT_TOKENS": "10000000",
    "MCP_TOOL_TIMEOUT": "100000000",
    "API_TIMEOUT_MS": "3600000",
    "CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS": "3600000",
}


class Subagent(BaseModel):
    """One of `agents`; its tools are some of the agent's own."""

    model_config = ConfigDict(extra="forbid")

    description: str
    prompt: str
    tools: list[str] | None = None


_SUBAGENTS = TypeAdapter(dict[str, Subagent])


@dataclass(frozen=True, slots=True)
class Settings:
    """An agent's `runtime_config`."""

    max_turns: int = MAX_TURNS
    tool_call_limit: int = TOOL_CALL_LIMIT
    max_budget_usd: float | None = None
    permission_mode: str = "default"
    agents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    network: bool = False
    cwd: str = ""
    context_window: int | None = None

    @classmethod
    def of(cls, context: RuntimeExecutionContext) -> "Settings":
        """Read and check them.

        Raises:
            ConfigurationInvalid: they do not fit each other, or the agent's toolsets.
        """
        given: Mapping[str, Any] = context.configuration.get("runtime_config") or {}
        settings = cls(**given)
        if settings.permission_mode not in MODES:
            raise ConfigurationInvalid(f"permission_mode is one of: {', '.join(MODES)}.")
        if any(map(_asks, context.toolsets)) and settings.permission_mode != "default":
            raise ConfigurationInvalid("Tools that need an approval need permission_mode 'default'.")
        if settings.network and not context.network:
            raise ConfigurationInvalid(
                "The worker allows commands no network.", hint="The setting is HOLDFAST_SANDBOX_NETWORK, on the worker."
            )
        if not _DIRECTORY.fullmatch(settings.cwd):
            raise ConfigurationInvalid(f"cwd is no directory of the workspace: '{settings.cwd}'.", hint=_CWD)
        settings.definitions()
        return settings

    @property
    def directory(self) -> str:
        """Where the CLI and its commands begin, as they see it."""
        return f"{WORKSPACE}/{self.cwd}".rstrip("/")

    def definitions(self) -> dict[str, AgentDefinition] | None:
        """The subagents that Task can start.

        Raises:
            ConfigurationInvalid: one of them is no definition.
        """
        try:
            agents = _SUBAGENTS.validate_python(self.agents)
            return {name: AgentDefinition(**agent.model_dump()) for name, agent in agents.items()} or None
        except ValidationError as error:
            wrong = error.errors()[0]
            place = ".".join(map(str, wrong["loc"]))
            raise ConfigurationInvalid(f"agents.{place}: {wrong['msg']}.") from error


def built_in(context: RuntimeExecutionContext) -> list[str]:
    """The CLI's own tools that the agent's toolsets ask for."""
    return [name for kind in BUILT_IN if kind in _types(context) for name in BUILT_IN[kind]]


def flags(context: RuntimeExecutionContext, settings: Settings, *, turns: int, session: Sequence[str]) -> list[str]:
    """The CLI's command line."""
    budget = settings.max_budget_usd
    servers = {SERVER: {"type": "sdk", "name": SERVER}} if context.tools else {}
    return [
        *("--output-format", "stream-json", "--input-format", "stream-json", "--verbose", "--include-partial-messages"),
        *("--model", context.model.model, f"--system-prompt={context.system_prompt}", "--setting-sources="),
        *(f"--tools={','.join(built_in(context))}", "--permission-prompt-tool", "stdio"),
        *("--permission-mode", settings.permission_mode, "--max-turns", str(turns)),
        *("--mcp-config", json.dumps({"mcpServers": servers}), "--strict-mcp-config", "--session-mirror", *session),
        *([] if budget is None else ["--max-budget-usd", str(budget)]),
        *(["--json-schema", json.dumps(context.output_schema)] if context.output_schema is not None else []),
    ]


def environment(context: RuntimeExecutionContext, settings: Settings) -> dict[str, str]:
    """All of the CLI's environment: nothing of the worker's own is in it."""
    longest: Any = context.configuration.get("max_tokens")
    window = settings.context_window
    return {
        "HOME": HOME,
        "USER": "agent",
        "SHELL": "/bin/bash",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "CLAUDE_CONFIG_DIR": f"{HOME}/.claude",
        "ANTHROPIC_BASE_URL": context.model.base_url,
        "ANTHROPIC_UNIX_SOCKET": RELAY_SOCKET,
        "ANTHROPIC_API_KEY": "holdfast",
        "CLAUDE_CODE_RESUME_INTERRUPTED_TURN_MAX_AGE_MS": "0",
        **_SWITCHES,
        **dict.fromkeys(_MODEL_NAMES, context.model.model),
        **({"CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(longest)} if longest else {}),
        **({"CLAUDE_CODE_AUTO_COMPACT_WINDOW": str(window)} if window else {}),
    }


def _asks(toolset: Mapping[str, Any]) -> bool:
    """Whether a human may have to decide on a call."""
    tools: Mapping[str, Mapping[str, Any]] = toolset.get("tools") or {}
    rules = [toolset.get("approval"), *(tool.get("approval") for tool in tools.values())]
    return any(rule not in (None, "never") for rule in rules)


def _types(context: RuntimeExecutionContext) -> set[Any]:
    return {toolset.get("type") for toolset in context.toolsets}
