"""The CrewAI runtime: a crew works in a thread, its models and tools on the event loop, where they can be stopped."""

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import ClassVar

import httpx
from crewai.events.utils.console_formatter import set_suppress_console_output

from runtimes.base import BaseRuntime, Cancellations, ControlPlane
from runtimes.crewai_crew import Work, crew_work
from runtimes.crewai_model import GatewayLLM
from runtimes.crewai_tools import Toolbox
from runtimes.crewai_turn import Turn, TurnOver
from runtimes.errors import RuntimeCrashed, RuntimeFailure
from runtimes.manifests.crewai import CREWAI
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.openai_clients import OpenAIClients
from runtimes.types import RuntimeEvent, RuntimeExecutionContext, TextDelta, TurnFinished

#: Threads of one worker; a turn has one of its own.
_THREADS = 1000
#: Seconds that a stopped crew's thread gets to end; it waits for nothing then.
_THREAD_ENDS = 10.0


class CrewThreads:
    """What the turns of a process share: connections, and threads."""

    def __init__(self) -> None:
        self.clients = OpenAIClients(httpx)
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="crew")

    async def close(self) -> None:
        """Close all connections; threads that still run are left behind."""
        self.threads.shutdown(wait=False, cancel_futures=True)
        await self.clients.close()


class CrewAIRuntime(BaseRuntime):
    """One turn on CrewAI.

    Settings in `runtime_config`: `max_turns` (model calls of a turn), `tool_call_limit`; `role` and `goal` of an agent
    that works alone; `agents`, `tasks`, `process` and `manager_agent` of a crew.
    """

    manifest: ClassVar[RuntimeManifest] = CREWAI

    def __init__(
        self,
        control_plane_client: ControlPlane | None = None,
        cancellation_manager: Cancellations | None = None,
        shared: CrewThreads | None = None,
    ) -> None:
        super().__init__(control_plane_client, cancellation_manager, shared)
        self._shared = shared or CrewThreads()

    @classmethod
    def share(cls) -> CrewThreads:
        """Connections and threads; CrewAI's files are nobody else's to read."""
        Path(cls.manifest.environment["CREWAI_STORAGE_DIR"]).mkdir(mode=0o700, exist_ok=True)
        return CrewThreads()

    async def stream(self, context: RuntimeExecutionContext) -> AsyncGenerator[RuntimeEvent, None]:
        """Run one turn; see `BaseRuntime.stream`."""
        turn = Turn(context)
        toolbox = Toolbox(context, turn)
        llm = GatewayLLM.of(context, turn, toolbox, self._shared.clients)
        work = crew_work(context, llm, toolbox)
        loop = asyncio.get_running_loop()
        surroundings = copy_context()
        crew = loop.run_in_executor(self._shared.threads, lambda: surroundings.run(_quietly, work))
        try:
            while (event := await _next(turn, crew)) is not None:
                yield event
        finally:
            turn.close()
            await asyncio.wait({crew}, timeout=_THREAD_ENDS)
        if turn.failure is not None:
            raise turn.failure
        answer = _answer(turn, crew)
        if answer and not turn.response.strip().endswith(answer.strip()):
            yield TextDelta(answer)
        yield TurnFinished(answer, turn.finish)


def _quietly(work: Work) -> str | None:
    """Run a crew without its own output; None where the turn was stopped.

    Raises:
        RuntimeCrashed: it raised `StopIteration`, which no future can hold (PEP 479): its turn would never end.
    """
    set_suppress_console_output(True)
    try:
        return work()
    except TurnOver:
        return None
    except StopIteration as stopped:
        raise RuntimeCrashed(f"StopIteration: {stopped}") from stopped


async def _next(turn: Turn, crew: "asyncio.Future[str | None]") -> RuntimeEvent | None:
    """The next event; None when the crew has ended, or the turn is over."""
    event, over = asyncio.ensure_future(turn.events.get()), asyncio.ensure_future(turn.over.wait())
    try:
        await asyncio.wait({event, over, crew}, return_when=asyncio.FIRST_COMPLETED)
        if event.done():
            return event.result()
        return None if turn.events.empty() else turn.events.get_nowait()
    finally:
        event.cancel()
        over.cancel()


def _answer(turn: Turn, crew: "asyncio.Future[str | None]") -> str:
    """The turn's answer.

    Raises:
        RuntimeCrashed: CrewAI raised something.
    """
    error = crew.exception() if crew.done() else None
    if isinstance(error, RuntimeFailure):
        raise error
    if error is not None:
        raise RuntimeCrashed(f"{type(error).__name__}: {error}") from error
    found = crew.result() if crew.done() else None
    return turn.response if found is None else found.strip()
