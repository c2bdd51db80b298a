"""The journal of tools that a framework runs itself."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from opentelemetry.trace import Span

from runtimes.types import Effect, OwnCall, ToolResult
from services.control_plane_client.models import Step
from services.metrics import OTHER
from services.tools.desk import TurnDesk, Wanted
from services.tools.gateway import KeepWorkspace
from services.tools.spec import ApprovalRule, ToolFailed


@dataclass(frozen=True, slots=True)
class OwnTool:
    """How a framework's own tool is treated; what nothing is known of may be done once only."""

    effect: Effect = Effect.AT_MOST_ONCE
    approval: ApprovalRule = ApprovalRule.NEVER
    writes: bool = True

    @property
    def needs_approval(self) -> bool:
        """Under a policy, whatever may change something."""
        by_policy = self.approval is ApprovalRule.POLICY and self.effect is not Effect.READ_ONLY
        return by_policy or self.approval is ApprovalRule.ALWAYS


#: A question of the framework to a human: its answer is all there is to run.
INTERRUPT = "interrupt"
_QUESTION = OwnTool(Effect.IDEMPOTENT, ApprovalRule.ALWAYS, writes=False)
_READS = OwnTool(Effect.READ_ONLY, writes=False)
#: The tools of Claude Code by the toolset that switches them on.
_BY_TOOLSET: Mapping[str, Mapping[str, OwnTool]] = {
    "shell": {"Bash": OwnTool()},
    "file_system": {
        "Read": _READS,
        "Glob": _READS,
        "Grep": _READS,
        "Write": OwnTool(Effect.IDEMPOTENT),
        "Edit": OwnTool(),
    },
    "task": {"Task": OwnTool(Effect.IDEMPOTENT), "Agent": OwnTool(Effect.IDEMPOTENT)},
}


def own_tools(toolsets: Sequence[Mapping[str, Any]]) -> dict[str, OwnTool]:
    """How the framework's own tools are treated, as the agent's toolsets want it."""
    found: dict[str, OwnTool] = {}
    for toolset in toolsets:
        rule = ApprovalRule(toolset.get("approval", ApprovalRule.NEVER))
        overrides: Mapping[str, Any] = toolset.get("tools") or {}
        for name, tool in _BY_TOOLSET.get(str(toolset.get("type")), {}).items():
            own = overrides.get(name, {}).get("approval")
            found[name] = replace(tool, approval=ApprovalRule(own or rule))
    return found


@dataclass(slots=True)
class JournalledTools:
    """`runtimes.types.OwnTools` on the desk of a turn."""

    desk: TurnDesk
    keep_workspace: KeepWorkspace
    known: Mapping[str, OwnTool] = field(default_factory=dict[str, OwnTool])
    _claimed: dict[str, tuple[Wanted, Step, Span]] = field(default_factory=dict[str, tuple[Wanted, Step, Span]])

    async def begin(
        self, tool_call_id: str, name: str, arguments: Mapping[str, Any], *, beside: Sequence[OwnCall] = ()
    ) -> ToolResult | None:
        """Claim a call; a result means that it is not to be run."""
        wanted = self._wanted(tool_call_id, name, arguments)
        asked = self.desk.asked.find(tool_call_id)
        if asked is not None and asked.refusal:
            asked.is_told = True
            return await self.desk.record(wanted, ToolResult(asked.refusal, is_error=True))
        step = await self.desk.begin(wanted, beside=[self._wanted(*call) for call in beside])
        if isinstance(step, ToolResult):
            return step
        if name == INTERRUPT:
            return await self.desk.commit(wanted, step, ToolResult("approved"))
        span = self.desk.trace.tool_call(step, wanted.written, is_known=wanted.is_known)
        self._claimed[tool_call_id] = (wanted, step, span)
        return None

    async def end(self, tool_call_id: str, result: ToolResult) -> None:
        """Commit what a call came to; one that was never claimed is told nothing of."""
        claimed = self._claimed.pop(tool_call_id, None)
        if claimed is None:
            return
        wanted, step, span = claimed
        workspace = None
        if self._tool(wanted.name).writes:
            with suppress(ToolFailed):
                workspace = await self.keep_workspace()
        self.desk.trace.tool_returned(span, await self.desk.commit(wanted, step, result, workspace=workspace))

    def _wanted(self, tool_call_id: str, name: str, arguments: Mapping[str, Any]) -> Wanted:
        tool = self._tool(name)
        return Wanted(
            tool_call_id=tool_call_id,
            name=name,
            written=orjson.dumps(arguments).decode(),
            effect=tool.effect,
            needs_approval=tool.needs_approval,
            label=name if name in self.known or name == INTERRUPT else OTHER,
        )

    def _tool(self, name: str) -> OwnTool:
        return _QUESTION if name == INTERRUPT else self.known.get(name, OwnTool())
