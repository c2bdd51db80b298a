"""The native runtime: Holdfast's own loop of model call, tool calls, model call."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import ClassVar

from runtimes.manifests.manifest import RuntimeManifest
from runtimes.manifests.native import NATIVE
from runtimes.model_clients import ClientPool, PooledRuntime
from runtimes.native_model import Answer, Conversation, warm_up
from runtimes.tool_calls import ToolCalls
from runtimes.types import RuntimeEvent, RuntimeExecutionContext, TextDelta, TurnFinished


class NativeRuntime(PooledRuntime):
    """One turn as a plain loop; tool calls of one answer run at once.

    Settings in `runtime_config`: `max_turns` (model calls of a turn), `tool_call_limit`.
    """

    manifest: ClassVar[RuntimeManifest] = NATIVE

    @classmethod
    def share(cls) -> ClientPool:
        """One pool of connections."""
        clients = ClientPool()
        warm_up(clients)
        return clients

    async def stream(self, context: RuntimeExecutionContext) -> AsyncGenerator[RuntimeEvent, None]:
        """Run one turn; see `BaseRuntime.stream`."""
        conversation, tools = Conversation(context, self._clients), ToolCalls(context)
        while True:
            answer = Answer()
            async with aclosing(conversation.ask(answer)) as pieces:
                async for text in pieces:
                    yield TextDelta(text)
            end = tools.end_of(answer.finish, answer.calls)
            if end is not None:
                break
            conversation.give(answer.calls, await tools.run(answer.calls))
            for event in tools.events():
                yield event
        tools.refuse(answer.calls, end)
        for event in tools.events():
            yield event
        yield TurnFinished(answer.text, end)
