"""Tool calls of the Claude Code CLI: ours over MCP, its own through hooks that claim them first."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

from claude_agent_sdk import (
    HookContext,
    HookInput,
    HookJSONOutput,
    HookMatcher,
    McpSdkServerConfig,
    PermissionResultAllow,
    PermissionResultDeny,
    ToolPermissionContext,
)
from claude_agent_sdk.types import HookEvent
from mcp import types as mcp
from mcp.server import Server

from runtimes.claude_code_options import SERVER
from runtimes.errors import RuntimeFailure
from runtimes.types import FinishReason, OwnCall, OwnTools, Tool, ToolResult

#: Tools of the CLI that do nothing outside of it.
INTERNAL = frozenset({"StructuredOutput"})
#: A human may take long to decide; the executor ends the turn meanwhile.
_PATIENCE = 10**6
_TOOL_USE_ID = "claudecode/toolUseId"


class Ending:
    """How a turn ends before the CLI says so: a failure behind a tool, or a limit."""

    def __init__(self) -> None:
        self._end: asyncio.Future[FinishReason] = asyncio.get_running_loop().create_future()

    def fail(self, failure: RuntimeFailure) -> None:
        """End with a failure; the first end is the one."""
        if not self._end.done():
            self._end.set_exception(failure)

    def limit(self) -> None:
        """End because there were enough tool calls."""
        if not self._end.done():
            self._end.set_result(FinishReason.TOOL_LIMIT)

    async def wait(self) -> FinishReason:
        """How it ends.

        Raises:
            RuntimeFailure: it failed.
        """
        return await asyncio.shield(self._end)

    def close(self) -> None:
        """Nobody waits any more."""
        if not self._end.cancel():
            self._end.exception()


@dataclass(slots=True)
class Calls:
    """The tool calls of one turn.

    `note` keeps one of the CLI's own calls, just before it is claimed. `settled` waits until a call's answer is in
    the journal, and gives it to the first of its calls. `recorded` are results that take the place of what the CLI
    would tell the model. `finished` are the calls whose results the CLI has.
    """

    tools: Sequence[Tool]
    own: OwnTools | None
    note: Callable[[Mapping[str, Any]], Awaitable[None]]
    settled: Callable[[str], Awaitable[Mapping[str, Any] | None]]
    ending: Ending
    limit: int
    recorded: dict[str, ToolResult] = field(default_factory=dict[str, ToolResult])
    finished: set[str] = field(default_factory=set[str])
    _begun: dict[str, asyncio.Future[ToolResult | None]] = field(
        default_factory=dict[str, "asyncio.Future[ToolResult | None]"]
    )
    _ended: dict[str, asyncio.Future[None]] = field(default_factory=dict[str, "asyncio.Future[None]"])
    _ours: set[str] = field(default_factory=set[str])

    def resume(self, claimed: Iterable[str], recorded: Mapping[str, ToolResult]) -> None:
        """Calls that were claimed before the CLI was started, or that have their results already."""
        self.recorded.update(recorded)
        for call, result in (dict.fromkeys(claimed) | self.recorded).items():
            self._begun[call] = asyncio.get_running_loop().create_future()
            self._begun[call].set_result(result)

    def knows(self, call: str) -> bool:
        """Whether a call was told to the journal, or came to one of our tools."""
        return call in self._begun or call in self._ours

    async def begin(self, call: str, name: str, arguments: Mapping[str, Any]) -> ToolResult | None:
        """Claim a call, once, whoever asks; a result means that it must not run."""
        if call not in self._begun:
            self._begun[call] = asyncio.ensure_future(self._begin(call, name, arguments))
        result = await asyncio.shield(self._begun[call])
        if result is not None:
            self.recorded[call] = result
            self.finished.add(call)
        return result

    async def end(self, call: str, result: ToolResult) -> None:
        """Commit what a call came to, once."""
        if self.own is None or call in self.recorded or call not in self._begun:
            return
        if call not in self._ended:
            self._ended[call] = asyncio.ensure_future(self.own.end(call, result))
            self.finished.add(call)
        await asyncio.shield(self._ended[call])

    async def close(self) -> None:
        """Nothing is claimed any more; what came to its end is still committed."""
        for claim in self._begun.values():
            claim.cancel()
        await asyncio.gather(*self._begun.values(), *self._ended.values(), return_exceptions=True)

    def server(self) -> dict[str, McpSdkServerConfig]:
        """Our tools, as the CLI takes them."""
        if not self.tools:
            return {}
        server = Server(SERVER, on_list_tools=self._list, on_call_tool=self._call)
        return {SERVER: McpSdkServerConfig(type="sdk", name=SERVER, instance=server)}

    def hooks(self) -> dict[HookEvent, list[HookMatcher]]:
        """Runs before each tool, in every permission mode; where it fails, the tool does not run."""
        return {"PreToolUse": [HookMatcher(hooks=[self._before], timeout=_PATIENCE, on_failure="block")]}

    async def permit(
        self, name: str, arguments: dict[str, Any], context: ToolPermissionContext
    ) -> PermissionResultAllow | PermissionResultDeny:
        """Asked by the CLI where its own rules do not decide; a call that no hook has claimed is claimed here."""
        denial = await self._claim(context.tool_use_id or "", name, arguments)
        return PermissionResultAllow() if denial is None else PermissionResultDeny(message=denial)

    async def _before(self, event: HookInput, tool_use_id: str | None, _: HookContext) -> HookJSONOutput:
        call = cast("Mapping[str, Any]", event)
        denial = await self._claim(tool_use_id or "", call["tool_name"], call["tool_input"])
        if denial is None:
            return {}
        decision = {"permissionDecision": "deny", "permissionDecisionReason": denial}
        return cast("HookJSONOutput", {"hookSpecificOutput": {"hookEventName": "PreToolUse", **decision}})

    async def _claim(self, call: str, name: str, arguments: Mapping[str, Any]) -> str | None:
        """Why a call must not run; None if it may."""
        if self._passes(name):
            return None
        try:
            result = await self.begin(call, name, arguments)
        except RuntimeFailure as failure:
            await self._fail(failure)
        return None if result is None else result.text

    async def _begin(self, call: str, name: str, arguments: Mapping[str, Any]) -> ToolResult | None:
        answer = await self.settled(call)
        await self._admit()
        if self.own is None:
            return None
        await self.note({"id": call, "name": name, "arguments": arguments, "answer": answer})
        others = [
            block
            for block in (answer or {}).get("calls", ())
            if block["id"] != call and not self._passes(block["name"])
        ]
        return await self.own.begin(
            call, name, arguments, beside=[OwnCall(block["id"], block["name"], block["input"]) for block in others]
        )

    def _passes(self, name: str) -> bool:
        """Whether the journal of a tool is not kept here."""
        return name in INTERNAL or any(tool.name == name for tool in self.tools)

    async def _list(self, _: Any, __: Any) -> mcp.ListToolsResult:
        """All are called read-only: the CLI then runs the calls of one answer at once, and our gateway decides."""
        hints = mcp.ToolAnnotations(read_only_hint=True)
        tools = [
            mcp.Tool(
                name=tool.name, description=tool.description, input_schema=dict(tool.parameters), annotations=hints
            )
            for tool in self.tools
        ]
        return mcp.ListToolsResult(tools=tools)

    async def _call(self, context: Any, params: mcp.CallToolRequestParams) -> mcp.CallToolResult:
        tool = next(tool for tool in self.tools if tool.name == params.name)
        call: str = context.meta[_TOOL_USE_ID]
        self._ours.add(call)
        await self.settled(call)
        await self._admit()
        try:
            result = await tool.call(call, params.arguments or {})
        except RuntimeFailure as failure:
            await self._fail(failure)
        self.finished.add(call)
        return mcp.CallToolResult(content=[mcp.TextContent(text=result.text)], is_error=result.is_error)

    async def _admit(self) -> None:
        self.limit -= 1
        if self.limit < 0:
            self.ending.limit()
            await asyncio.Event().wait()

    async def _fail(self, failure: RuntimeFailure) -> NoReturn:
        """The turn ends with it, and the call does not go on."""
        self.ending.fail(failure)
        await asyncio.Event().wait()
        raise failure
