"""What becomes of the tool calls in a model's answer: run, answered with a mistake, or refused as the turn ends."""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtimes.tool_arguments import decoded
from runtimes.types import (
    FinishReason,
    RuntimeExecutionContext,
    ToolCallCompleted,
    ToolCallStarted,
    ToolResult,
)

#: Model calls of a turn, and tool calls of a turn, unless the agent's `runtime_config` says otherwise.
MAX_TURNS = 100
TOOL_CALL_LIMIT = 500


_ENDS: Mapping[FinishReason, str] = {
    FinishReason.LENGTH: "the answer was cut at its limit of tokens",
    FinishReason.CONTENT_FILTER: "a filter cut the answer",
    FinishReason.TOOL_LIMIT: "with this answer the turn reached max_turns or tool_call_limit",
    FinishReason.INTERRUPTED: "the turn was interrupted",
}


def not_run(end: FinishReason) -> str:
    """Say why a call is not run with which the turn ends."""
    why = f"{_ENDS[end]} ({end.value})" if end in _ENDS else end.value
    return f"Not run: {why}. The turn ends here."


@dataclass(frozen=True, slots=True)
class RequestedCall:
    """A call as the model wrote it."""

    id: str
    name: str
    arguments: str


class ToolCalls:
    """The tool calls of one turn, for frameworks whose loop an adapter holds in its own hands."""

    def __init__(self, context: RuntimeExecutionContext) -> None:
        settings: Mapping[str, Any] = context.configuration.get("runtime_config") or {}
        self._tools = {tool.name: tool for tool in context.tools}
        self._answers_left: int = settings.get("max_turns", MAX_TURNS)
        self._calls_left: int = settings.get("tool_call_limit", TOOL_CALL_LIMIT)
        self._events: deque[ToolCallStarted | ToolCallCompleted] = deque()

    def end_of(self, finish: FinishReason, calls: Sequence[RequestedCall]) -> FinishReason | None:
        """Why the turn ends with an answer that asks for these calls; None where it goes on. Asked once per answer."""
        self._answers_left -= 1
        if not calls or finish is not FinishReason.STOP:
            return finish
        self._calls_left -= len(calls)
        return FinishReason.TOOL_LIMIT if self._answers_left < 1 or self._calls_left < 0 else None

    def refuse(self, calls: Sequence[RequestedCall], end: FinishReason) -> list[ToolResult]:
        """Answer calls that are not run because the turn ends."""
        return [self._answered(call, not_run(end)) for call in calls]

    async def run(self, calls: Sequence[RequestedCall]) -> list[ToolResult]:
        """Run calls all at once; their results in order.

        Whatever a tool raises ends the others too: a failure of the turn, or its cancellation.
        """
        running = [asyncio.ensure_future(self._run(call)) for call in calls]
        try:
            return await asyncio.gather(*running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)

    def events(self) -> Iterator[ToolCallStarted | ToolCallCompleted]:
        """Calls that no tool saw, each told once."""
        while self._events:
            yield self._events.popleft()

    def unknown(self, call: RequestedCall) -> ToolResult:
        """Answer a call of a tool that there is not."""
        return self._answered(call, f"There is no tool '{call.name}'. {self._known()}")

    async def _run(self, call: RequestedCall) -> ToolResult:
        tool = self._tools.get(call.name)
        return self.unknown(call) if tool is None else await tool.call(call.id, decoded(call.arguments))

    def _answered(self, call: RequestedCall, text: str) -> ToolResult:
        self._events.append(ToolCallStarted(call.id, call.name, call.arguments))
        self._events.append(ToolCallCompleted(call.id, call.name, text, is_error=True))
        return ToolResult(text, is_error=True)

    def _known(self) -> str:
        return f"Known tools: {', '.join(self._tools)}." if self._tools else "There are no tools at all."
