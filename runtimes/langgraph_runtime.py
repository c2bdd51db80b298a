"""The LangGraph runtime: LangChain's prebuilt agent, or the user's own graph."""
# pyright: reportUnknownMemberType=false

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, ClassVar

from langgraph.errors import GraphRecursionError
from pydantic_core import to_jsonable_python

from runtimes.errors import ConfigurationInvalid, RuntimeCrashed, RuntimeFailure
from runtimes.langgraph_graphs import Parts, Prepared, prepared
from runtimes.langgraph_interrupts import Decisions, Pending
from runtimes.langgraph_messages import Narrator, answer_of
from runtimes.langgraph_models import gateway_model
from runtimes.langgraph_tools import GatewayTool
from runtimes.langgraph_turn import LimitReached, Turn
from runtimes.manifests.langgraph import LANGGRAPH
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.model_clients import PooledRuntime
from runtimes.types import FinishReason, RuntimeEvent, RuntimeExecutionContext, TurnFinished


class LangGraphRuntime(PooledRuntime):
    """One turn on LangGraph.

    Settings in `runtime_config`: `max_turns` (model calls of a turn), `tool_call_limit`, and `graph`, the import path
    `package.module:name` of a compiled graph, a `StateGraph`, or a function that gives one of them. Its state has
    `messages`; the last AI message is the answer.
    """

    manifest: ClassVar[RuntimeManifest] = LANGGRAPH

    async def stream(self, context: RuntimeExecutionContext) -> AsyncGenerator[RuntimeEvent, None]:
        """Run one turn; see `BaseRuntime.stream`."""
        turn = Turn(context)
        tools = [GatewayTool.of(tool, turn) for tool in context.tools]
        model = gateway_model(context, turn, self._clients)
        parts = Parts(model, tools, context.system_prompt, context.configuration)
        run = _Run(await prepared(context, turn, parts), context, turn)
        try:
            async with aclosing(run.events()) as events:
                async for event in events:
                    yield event
        except (GraphRecursionError, LimitReached):
            turn.finish = FinishReason.TOOL_LIMIT
        finally:
            turn.close()
        if turn.failure is not None:
            raise turn.failure
        for event in run.ending():
            yield event
        yield TurnFinished(run.response, turn.finish, run.output)


class _Run:
    """One run of a graph, with the rounds that its interrupts make."""

    def __init__(self, prepared: Prepared, context: RuntimeExecutionContext, turn: Turn) -> None:
        self._graph = prepared.graph
        self._prepared = prepared
        self._turn = turn
        self._narrator = Narrator(context, turn)
        self._decisions = Decisions(context.own_tools, context.turn)
        self._state: dict[str, Any] = {}

    async def events(self) -> AsyncGenerator[RuntimeEvent, None]:
        """Run the graph to its end.

        Raises:
            RuntimeCrashed: it raised something.
        """
        asked: Any = {"messages": self._prepared.messages}
        while asked is not None:
            async with aclosing(self._round(asked)) as events:
                async for event in events:
                    yield event
            asked = await self._decided()

    async def _round(self, asked: Any) -> AsyncGenerator[RuntimeEvent, None]:
        modes = ["messages", "updates", "values"]
        stream = self._graph.astream(asked, self._prepared.config, stream_mode=modes, subgraphs=True)
        try:
            async with aclosing(stream) as parts:
                async for namespace, mode, payload in parts:
                    for event in self._told(namespace, mode, payload):
                        yield event
        except (RuntimeFailure, GraphRecursionError, LimitReached):
            raise
        except Exception as error:
            raise self._turn.failure or RuntimeCrashed(f"{type(error).__name__}: {error}") from error

    def _told(self, namespace: tuple[str, ...], mode: str, payload: Any) -> Iterator[RuntimeEvent]:
        match mode:
            case "messages":
                yield from self._narrator.message(payload[0])
            case "updates" if self._prepared.path:
                yield from self._narrator.update(payload)
            case "values" if not namespace:
                self._state = payload
            case _:
                pass
        yield from self._turn.calls.events()

    async def _decided(self) -> Any:
        """What the graph's interrupts are answered with; None if it has come to its end."""
        if self._graph.checkpointer is None:
            return None
        state = await self._graph.aget_state(self._prepared.config)
        pending = [Pending(task.name, interrupt) for task in state.tasks for interrupt in task.interrupts]
        if not pending:
            return None
        self._turn.replays.begin_round()
        return await self._decisions.of(pending)

    def ending(self) -> Iterator[RuntimeEvent]:
        """What is left to tell at the end."""
        yield from self._narrator.ending(self.response)
        yield from self._turn.calls.events()

    @property
    def response(self) -> str:
        """The turn's answer.

        Raises:
            ConfigurationInvalid: the graph gave none.
        """
        answer = answer_of(self._state)
        if answer is None and self._turn.finish is FinishReason.TOOL_LIMIT:
            return self._narrator.said()
        if answer is None:
            raise ConfigurationInvalid(
                f"Graph '{self._prepared.path}' ended without an answer.",
                hint="The last of its 'messages' has to be an AI message.",
            )
        return answer

    @property
    def output(self) -> Any:
        """The structured answer of an agent that was built with a response format."""
        found = self._state.get("structured_response")
        return to_jsonable_python(found)
