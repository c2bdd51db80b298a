"""The default runtime: Agno, with a fresh agent for each execution."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, ClassVar, cast

from agno.agent import Agent
from agno.models.message import Message
from agno.run.agent import RunContentEvent, RunErrorEvent, RunOutputEvent

from runtimes.agno_models import tool_definitions, watched_model
from runtimes.agno_turn import Turn
from runtimes.errors import RuntimeCrashed
from runtimes.manifests.default import DEFAULT
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.model_clients import ClientPool, PooledRuntime
from runtimes.types import RuntimeEvent, RuntimeExecutionContext, TextDelta, TurnFinished


class DefaultRuntime(PooledRuntime):
    """One turn on Agno.

    Settings in `runtime_config`: `max_turns` (model calls of a turn), `tool_call_limit`.
    """

    manifest: ClassVar[RuntimeManifest] = DEFAULT

    @classmethod
    def share(cls) -> ClientPool:
        """One pool of connections; also silences Agno's own log, which repeats what the typed failures say."""
        logging.getLogger("agno").disabled = True
        return ClientPool()

    async def stream(self, context: RuntimeExecutionContext) -> AsyncGenerator[RuntimeEvent, None]:
        """Run one turn; see `BaseRuntime.stream`."""
        turn = Turn(context)
        agent = Agent(
            model=watched_model(context, turn, self._clients),
            tools=tool_definitions(context),
            build_context=False,
            resolve_in_context=False,
            telemetry=False,
        )
        run: Any = agent.arun(_messages(context), stream=True)  # pyright: ignore[reportUnknownMemberType]
        async with aclosing(cast("AsyncGenerator[RunOutputEvent, None]", run)) as events:
            async for event in events:
                for told in turn.events():
                    yield told
                if text := _text(event):
                    turn.say(text)
                    yield TextDelta(text)
                elif isinstance(event, RunErrorEvent):
                    raise turn.failure or RuntimeCrashed(f"Agno gave up: {event.error_type}.")
        for told in turn.events():
            yield told
        if turn.failure is not None:
            raise turn.failure
        yield TurnFinished(turn.response, turn.finish)


def _messages(context: RuntimeExecutionContext) -> list[Message]:
    """The system prompt goes as a message: Agno would otherwise fill in what looks like a template."""
    system = [Message(role="system", content=context.system_prompt)] if context.system_prompt else []
    history = [Message(role=message.role, content=message.content) for message in context.history]
    return [*system, *history, Message(role="user", content=context.prompt)]


def _text(event: RunOutputEvent) -> str:
    content: Any = event.content if isinstance(event, RunContentEvent) else ""
    return content if isinstance(content, str) else ""
