"""Holdfast's tools as the OpenAI Agents SDK takes them, and what it tells the model of those that there are not."""

import asyncio
from typing import Any

from agents import FunctionTool, ToolErrorFormatterArgs
from agents.tool_context import ToolContext

from runtimes.errors import RuntimeFailure
from runtimes.openai_agents_turn import Turn
from runtimes.tool_arguments import decoded
from runtimes.types import Tool


def function_tool(tool: Tool, turn: Turn) -> FunctionTool:
    """One tool; the gateway behind it checks the arguments and answers mistakes, so nothing is checked here."""

    async def call(context: ToolContext[Any], arguments: str) -> str:
        try:
            result = await tool.call(context.tool_call_id, decoded(arguments))
        except (RuntimeFailure, asyncio.CancelledError) as failure:
            turn.failure = turn.failure or failure
            raise
        return result.text

    return FunctionTool(
        name=tool.name,
        description=tool.description,
        params_json_schema=dict(tool.parameters),
        on_invoke_tool=call,
        strict_json_schema=False,
    )


def told_of_mistakes(turn: Turn) -> Any:
    """Tells the model of a call of a tool that its agent does not have."""

    def tell(mistake: ToolErrorFormatterArgs[Any]) -> str | None:
        if mistake.kind != "tool_not_found":
            return None
        return turn.calls.unknown(turn.asked(mistake.call_id)).text

    return tell
