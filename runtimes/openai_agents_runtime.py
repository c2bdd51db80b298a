"""The runtime of the OpenAI Agents SDK, the successor of Swarm."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from typing import Any, ClassVar

from agents import RunConfig, Runner, RunResultStreaming, StreamEvent
from agents.items import HandoffCallItem, HandoffOutputItem, ToolCallOutputItem, TResponseInputItem

from runtimes.errors import RuntimeCrashed, RuntimeFailure
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.manifests.openai_agents import OPENAI_AGENTS
from runtimes.model_clients import PooledRuntime
from runtimes.openai_agents_model import gateway_model
from runtimes.openai_agents_team import first_agent
from runtimes.openai_agents_tools import told_of_mistakes
from runtimes.openai_agents_turn import Turn
from runtimes.types import (
    RuntimeEvent,
    RuntimeExecutionContext,
    TextDelta,
    ToolCallCompleted,
    ToolCallStarted,
    TurnFinished,
)


class OpenAIAgentsRuntime(PooledRuntime):
    """One turn on the OpenAI Agents SDK.

    Settings in `runtime_config`: `max_turns` (model calls of a turn), `tool_call_limit`; `agents`, the ones that the
    conversation can be handed over to, `handoffs`, those that the first one hands over to, and `name`, what the
    others call it.
    """

    manifest: ClassVar[RuntimeManifest] = OPENAI_AGENTS

    async def stream(self, context: RuntimeExecutionContext) -> AsyncGenerator[RuntimeEvent, None]:
        """Run one turn; see `BaseRuntime.stream`."""
        turn = Turn(context)
        agent = first_agent(context, turn, gateway_model(context, turn, self._clients))
        run = Runner.run_streamed(agent, _messages(context), max_turns=None, run_config=_run_config(turn))
        try:
            async for event in run.stream_events():
                for told in _told(event, turn):
                    yield told
        except RuntimeFailure:
            raise
        except Exception as error:
            raise turn.failure or RuntimeCrashed(f"{type(error).__name__}: {error}") from error
        finally:
            await _stop(run)
        if turn.failure is not None:
            raise turn.failure
        for told in turn.calls.events():
            yield told
        yield TurnFinished(turn.response, turn.finish)


def _messages(context: RuntimeExecutionContext) -> list[TResponseInputItem]:
    history: list[TResponseInputItem] = [
        {"role": message.role, "content": message.content} for message in context.history
    ]
    return [*history, {"role": "user", "content": context.prompt}]


def _run_config(turn: Turn) -> RunConfig:
    return RunConfig(
        tracing_disabled=True,
        nest_handoff_history=False,
        tool_not_found_behavior="return_error_to_model",
        tool_error_formatter=told_of_mistakes(turn),
    )


def _told(event: StreamEvent, turn: Turn) -> Iterator[RuntimeEvent]:
    """What the SDK streams, as events of a turn; calls of the context's tools are the gateway's to tell."""
    if event.type == "raw_response_event":
        if event.data.type == "response.output_text.delta" and event.data.delta:
            yield TextDelta(event.data.delta)
    elif event.type == "run_item_stream_event":
        yield from _handed_over(event.item, turn)
    yield from turn.calls.events()


def _handed_over(item: Any, turn: Turn) -> Iterator[RuntimeEvent]:
    """Handoffs; of several in one answer the SDK ignores all but the first, and says so as a tool would."""
    if isinstance(item, HandoffCallItem):
        call = turn.asked(item.raw_item.call_id)
        turn.handoffs.add(call.id)
        yield ToolCallStarted(call.id, call.name, call.arguments)
    elif isinstance(item, HandoffOutputItem | ToolCallOutputItem):
        answered: Any = item.raw_item
        call_id = answered["call_id"]
        if call_id in turn.handoffs:
            is_ignored = isinstance(item, ToolCallOutputItem)
            yield ToolCallCompleted(call_id, turn.asked(call_id).name, str(answered["output"]), is_error=is_ignored)


async def _stop(run: RunResultStreaming) -> None:
    """End the SDK's own tasks: only then is no model called and no tool run any more."""
    run.cancel(mode="immediate")
    task = run.run_loop_task
    if task is not None:
        task.cancel()
        with suppress(BaseException):
            await asyncio.wait({task})
