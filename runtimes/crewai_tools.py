"""Holdfast's tools as CrewAI takes them, and the way of a call from the model to its tool and back."""
# pyright: reportUnknownMemberType=false

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from crewai.tools import BaseTool
from crewai.utilities.string_utils import sanitize_tool_name
from pydantic import BaseModel, PrivateAttr

from runtimes.crewai_turn import Turn
from runtimes.errors import ConfigurationInvalid, RuntimeFailure
from runtimes.tool_arguments import decoded
from runtimes.tool_calls import RequestedCall
from runtimes.types import RuntimeExecutionContext, Tool, ToolCallCompleted, ToolCallStarted, ToolResult

#: Where calls of tools are led that there are not; no model is told of it.
NO_SUCH_TOOL = "no_such_tool"
#: Names that stand for something else in a crew.
_TAKEN = frozenset({NO_SUCH_TOOL, "delegate_work_to_coworker", "ask_question_to_coworker"})
_RENAME = "Give the tool another name, or leave it out of the agent's toolsets."


class ById(BaseModel):
    """What CrewAI sees of a call's arguments."""

    call: str


class GatewayTool(BaseTool):
    """One tool; the gateway behind it checks the arguments and answers mistakes, so nothing is checked here."""

    args_schema: type[BaseModel] = ById
    _tool: Tool | None = PrivateAttr(default=None)
    _turn: Turn = PrivateAttr()

    @classmethod
    def of(cls, name: str, tool: Tool | None, turn: Turn) -> "GatewayTool":
        """Make one of a context's tools into CrewAI's; without a tool, the answer to calls of none."""
        made = cls(name=name, description=name)
        made._tool, made._turn = tool, turn
        return made

    def _run(self, call: str) -> str:
        return self._turn.wait_for(self._called(call)).text

    async def _arun(self, call: str) -> str:
        return (await self._called(call)).text

    async def _called(self, call_id: str) -> ToolResult:
        asked = self._turn.asked(call_id)
        assert asked is not None
        if self._tool is None:
            answered = self._turn.calls.unknown(asked)
            self._turn.tell_answered()
            return answered
        try:
            return await self._tool.call(asked.id, decoded(asked.arguments))
        except (RuntimeFailure, asyncio.CancelledError) as failure:
            self._turn.fail(failure)
            raise


class Toolbox:
    """All tools of a turn, by the names that CrewAI makes of theirs.

    Raises:
        ConfigurationInvalid: CrewAI cannot tell two of them apart, or one from its own.
    """

    def __init__(self, context: RuntimeExecutionContext, turn: Turn) -> None:
        self._turn = turn
        self._tools = _by_name(context.tools)
        #: What CrewAI calls each tool, by its own name.
        self.names = {tool.name: name for name, tool in self._tools.items()}
        self._foreign: frozenset[str] = frozenset()
        self._pending: dict[str, RequestedCall] = {}

    def tools(self, only: Sequence[str] | None = None) -> list[BaseTool]:
        """The tools of one agent: those that it names, or all."""
        wanted = [tool for tool in self._tools.values() if only is None or tool.name in only]
        own: list[BaseTool] = [GatewayTool.of(tool.name, tool, self._turn) for tool in wanted]
        return [*own, GatewayTool.of(NO_SUCH_TOOL, None, self._turn)]

    def definitions(self, shown: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The tools that an agent has, as the model is told of them: ours in their own words, CrewAI's in its."""
        names = [definition["function"]["name"] for definition in shown]
        self._foreign |= {name for name in names if name not in self._tools and name != NO_SUCH_TOOL}
        return [
            _definition(self._tools[name]) if name in self._tools else dict(definition)
            for name, definition in zip(names, shown, strict=True)
            if name != NO_SUCH_TOOL
        ]

    def shown(self, call: RequestedCall, known: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """A call as CrewAI gets to see it; `known` are the tools that the agent has."""
        names = {definition["function"]["name"] for definition in known}
        if call.name in self._foreign & names:
            self._pending[call.id] = call
            self._turn.tell(ToolCallStarted(call.id, call.name, call.arguments))
            return _call(call.id, call.name, call.arguments)
        known_as = self.names.get(call.name, "")
        name = known_as if known_as in names else NO_SUCH_TOOL
        return _call(call.id, name if name in names else call.name, json.dumps({"call": call.id}))

    def written(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """A call that CrewAI shows, as the model wrote it."""
        asked = self._turn.asked(call["id"])
        return _call(asked.id, asked.name, asked.arguments) if asked is not None else dict(call)

    def note_results(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Tell of calls of CrewAI's own tools that have been answered."""
        for message in messages:
            call = self._pending.pop(message.get("tool_call_id") or "", None)
            if call is not None:
                self._turn.tell(ToolCallCompleted(call.id, call.name, str(message.get("content"))))


def _by_name(tools: Sequence[Tool]) -> dict[str, Tool]:
    named: dict[str, Tool] = {}
    for tool in tools:
        name = sanitize_tool_name(tool.name)
        if name in _TAKEN:
            told = f"No tool can be called '{tool.name}' under CrewAI: the name '{name}' is taken there."
            raise ConfigurationInvalid(told, hint=_RENAME)
        if (other := named.setdefault(name, tool)) is not tool:
            told = f"The tools '{other.name}' and '{tool.name}' are the same for CrewAI: '{name}'."
            raise ConfigurationInvalid(told, hint=_RENAME)
    return named


def _definition(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def _call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
