"""Holdfast's tools as LangChain takes them."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ToolCallRequest
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool
from langgraph.types import Command
from pydantic import PrivateAttr

from runtimes.errors import RuntimeFailure
from runtimes.langgraph_turn import Turn, arguments_meant, as_text
from runtimes.tool_calls import RequestedCall
from runtimes.types import Tool, ToolResult, Wire


class GatewayTool(BaseTool):
    """One tool; the gateway behind it checks the arguments and answers mistakes, so nothing is checked here."""

    _tool: Tool = PrivateAttr()
    _turn: Turn = PrivateAttr()

    @classmethod
    def of(cls, tool: Tool, turn: Turn) -> "GatewayTool":
        """Make one of a context's tools into LangChain's."""
        made = cls(name=tool.name, description=tool.description, args_schema=dict(tool.parameters))
        made._tool, made._turn = tool, turn
        return made

    def definition(self, wire: Wire) -> dict[str, Any]:
        """The tool in the wire's own form."""
        named = {"name": self._tool.name, "description": self._tool.description}
        if wire is Wire.ANTHROPIC:
            return {**named, "input_schema": dict(self._tool.parameters)}
        return {"type": "function", "function": {**named, "parameters": dict(self._tool.parameters)}}

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """Take a model's tool call and give a message, or take plain arguments and give the text."""
        task = (ensure_config(config).get("metadata") or {}).get("langgraph_checkpoint_ns", "")
        if input.get("type") != "tool_call":
            return (await self._called(task, None, input)).text
        result = await self._called(task, input["id"], input["args"])
        status = "error" if result.is_error else "success"
        return ToolMessage(result.text, tool_call_id=input["id"], name=self.name, status=status)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """As `ainvoke`, for code that is no coroutine."""
        return self._turn.wait_for(self.ainvoke(input, ensure_config(config), **kwargs))

    def _run(self, **arguments: Any) -> Any:
        return self.invoke(arguments)

    async def _arun(self, **arguments: Any) -> Any:
        return await self.ainvoke(arguments)

    async def _called(self, task: str, call_id: str | None, seen: Mapping[str, Any]) -> ToolResult:
        written = as_text(seen)

        async def call() -> ToolResult:
            self._turn.spoke = False
            own_id = call_id or self._turn.call_id(self.name, written)
            try:
                return await self._tool.call(own_id, arguments_meant(seen), from_model=call_id is not None)
            except (RuntimeFailure, asyncio.CancelledError) as failure:
                self._turn.failure = failure
                raise

        return await self._turn.replays.once(task, f"{self.name} {call_id} {written}", call)


class UnknownTools(AgentMiddleware):
    """Answers calls of tools that there are not, also where there are none at all."""

    def __init__(self, turn: Turn) -> None:
        super().__init__()
        self._turn = turn

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """Let through what is known."""
        if request.tool is not None:
            return await handler(request)
        asked = request.tool_call
        call = RequestedCall(asked["id"] or "", asked["name"], as_text(asked["args"]))
        (result,) = await self._turn.calls.run([call])
        return ToolMessage(result.text, tool_call_id=call.id, name=call.name, status="error")
