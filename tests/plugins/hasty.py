"""A runtime whose loop gives a model the results of parallel calls as they come, as some frameworks do."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import ClassVar

from runtimes.manifests.manifest import RuntimeManifest
from runtimes.manifests.native import NATIVE
from runtimes.native_model import Answer, Conversation
from runtimes.native_runtime import NativeRuntime
from runtimes.tool_calls import RequestedCall, ToolCalls
from runtimes.types import RuntimeEvent, RuntimeExecutionContext, TextDelta, ToolResult, TurnFinished

HASTY = NATIVE.model_copy(update={"name": "hasty", "entry": "tests.plugins.hasty:HastyRuntime"})


class HastyRuntime(NativeRuntime):
    """The native loop, but for the order of results."""

    manifest: ClassVar[RuntimeManifest] = HASTY

    async def stream(self, context: RuntimeExecutionContext) -> AsyncGenerator[RuntimeEvent, None]:
        """Run one turn."""
        conversation, tools = Conversation(context, self._clients), ToolCalls(context)
        while True:
            answer = Answer()
            async with aclosing(conversation.ask(answer)) as pieces:
                async for text in pieces:
                    yield TextDelta(text)
            end = tools.end_of(answer.finish, answer.calls)
            if end is not None:
                break
            conversation.give(*await _as_they_come(tools, answer.calls))
        yield TurnFinished(answer.text, end)


async def _as_they_come(
    tools: ToolCalls, calls: Sequence[RequestedCall]
) -> tuple[list[RequestedCall], list[ToolResult]]:
    asked: list[RequestedCall] = []
    results: list[ToolResult] = []

    async def run(call: RequestedCall) -> None:
        results.extend(await tools.run([call]))
        asked.append(call)

    await asyncio.gather(*map(run, calls))
    return asked, results
