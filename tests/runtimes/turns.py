"""Runs turns of a runtime in tests."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from runtimes.factory import RuntimeFactory
from runtimes.types import (
    ModelEndpoint,
    RuntimeEvent,
    RuntimeExecutionContext,
    TextDelta,
    Tool,
    ToolResult,
    TurnFinished,
)
from tests.runtimes.model_server import ModelServer


@dataclass(slots=True)
class Ran:
    """All that came of a turn; `marker` finds its model calls in the server's log."""

    marker: str
    events: list[RuntimeEvent] = field(default_factory=list[RuntimeEvent])

    @property
    def deltas(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, TextDelta)]

    @property
    def finished(self) -> TurnFinished:
        last = self.events[-1]
        assert isinstance(last, TurnFinished)
        return last


@dataclass(frozen=True, slots=True)
class Turns:
    """Turns of one runtime against one endpoint."""

    factory: RuntimeFactory
    runtime: str
    model: ModelServer | None
    endpoint: ModelEndpoint
    streaming: bool = True

    def context(self, prompt: str, **changes: Any) -> RuntimeExecutionContext:
        context = RuntimeExecutionContext(
            execution_id=str(uuid4()),
            organization_id=str(uuid4()),
            agent_id=str(uuid4()),
            session_id=str(uuid4()),
            turn=1,
            attempt=1,
            prompt=prompt,
            model=self.endpoint,
            workspace=Path("/nonexistent"),
            streaming=self.streaming,
        )
        return replace(context, **changes)

    async def run(self, prompt: str, **changes: Any) -> Ran:
        marker = uuid4().hex
        runtime = self.factory.create_runtime(self.runtime)
        context = self.context(f"{marker} {prompt}", **changes)
        ran = Ran(marker)
        async with aclosing(runtime.stream_execute(context)) as events:
            async for event in events:
                ran.events.append(event)
        return ran

    async def calls(self, marker: str, *, until: str = "") -> list[dict[str, Any]]:
        """The model calls of a turn; waits up to 2 s for the last one's outcome."""
        assert self.model is not None
        requests: list[dict[str, Any]] = []
        for _ in range(100):
            requests = await self.model.requests(marker)
            if requests and until in ("", requests[-1]["outcome"]):
                return requests
            await asyncio.sleep(0.02)
        raise AssertionError(f"{requests} never became {until}")


def tool(call: Callable[[str, Mapping[str, Any] | str], Awaitable[ToolResult]], name: str = "lookup") -> Tool:
    schema = {"type": "object", "properties": {"q": {"type": "integer"}}, "required": ["q"]}

    async def called(
        tool_call_id: str | None, arguments: Mapping[str, Any] | str, *, from_model: bool = True
    ) -> ToolResult:
        return await call(tool_call_id or "", arguments)

    return Tool(name, "Looks something up.", schema, called)


@dataclass(slots=True)
class Recorder:
    """A tool that remembers its calls and answers with `answer`."""

    answer: ToolResult = field(default_factory=lambda: ToolResult("42"))
    calls: list[Mapping[str, Any] | str] = field(default_factory=list[Mapping[str, Any] | str])

    async def __call__(self, tool_call_id: str, arguments: Mapping[str, Any] | str) -> ToolResult:
        self.calls.append(arguments)
        return self.answer
