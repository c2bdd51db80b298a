"""What a turn of the LangGraph runtime has done so far: its model calls, their answers, its limits."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from hashlib import sha256
from typing import Any, TypeVar

from runtimes.errors import ModelAnswerEmpty, ModelConnectionBroken, RuntimeCrashed, RuntimeFailure
from runtimes.finish_reasons import finish_of
from runtimes.tool_arguments import decoded
from runtimes.tool_calls import MAX_TURNS, RequestedCall, ToolCalls
from runtimes.types import FinishReason, RuntimeExecutionContext

#: Where arguments that are no JSON object stand, on their way through the framework and back to the model.
INVALID_JSON = "INVALID_JSON"

Made = TypeVar("Made")


class LimitReached(Exception):
    """The graph calls a model once more than the turn may."""


class Replays:
    """What the tasks of a graph have called: LangGraph runs a task again from its start after an interrupt."""

    def __init__(self) -> None:
        self._made: dict[str, list[tuple[str, Any]]] = {}
        self._used: dict[str, set[int]] = {}

    def begin_round(self) -> None:
        """The graph goes on after its interrupts; tasks that had one start over."""
        self._used.clear()

    async def once(self, task: str, key: str, make: Callable[[], Awaitable[Made]]) -> Made:
        """Make a call of a task, or give what the same call came to before the task was interrupted."""
        made, used = self._made.setdefault(task, []), self._used.setdefault(task, set())
        for place, (known, result) in enumerate(made):
            if known == key and place not in used:
                used.add(place)
                return result
        result = await make()
        used.add(len(made))
        made.append((key, result))
        return result


class Turn:
    """The models and tools write to it, the runtime reads from it."""

    def __init__(self, context: RuntimeExecutionContext) -> None:
        self.streaming = context.streaming
        self.calls = ToolCalls(context)
        self.replays = Replays()
        self.finish = FinishReason.STOP
        self.failure: RuntimeFailure | asyncio.CancelledError | None = None
        self.spoke = False
        self._model = context.model.model
        self._turn = context.turn
        self._model_calls = 0
        self._max_turns = max_turns(context)
        self._direct_calls = Counter[str]()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._waited_for: set[Future[Any]] = set()

    def begin_model_call(self) -> None:
        """A model is called now.

        Raises:
            LimitReached: it may not be called any more.
            RuntimeFailure: the turn has failed, and the graph has not noticed.
        """
        if self.failure is not None:
            raise self.failure
        if self.finish is FinishReason.TOOL_LIMIT or self._model_calls >= self._max_turns:
            self.finish = FinishReason.TOOL_LIMIT
            raise LimitReached
        self._model_calls += 1

    def calls_to_run(self, text: str, asked: Sequence[RequestedCall], finish: str | None) -> Sequence[RequestedCall]:
        """The tool calls of an answer that the graph gets to see: all of them, or none when the turn has to end.

        Raises:
            ModelAnswerEmpty, ModelConnectionBroken: it is no answer.
        """
        reason = self._reason(finish, silent=not text and not asked)
        end = self.calls.end_of(reason, asked)
        if end is None:
            return asked
        self.finish = end
        self.calls.refuse(asked, end)
        return ()

    def call_id(self, name: str, arguments: str) -> str:
        """An id for a tool call that a node makes itself: the same in every attempt, whatever runs beside it."""
        digest = sha256(f"{name} {arguments}".encode()).hexdigest()[:16]
        self._direct_calls[digest] += 1
        return f"node_{self._turn}_{digest}_{self._direct_calls[digest]}"

    def wait_for(self, work: Coroutine[Any, Any, Made]) -> Made:
        """Run a model or tool call for code that is no coroutine, from the thread it runs in."""
        if threading.get_ident() == self._thread:
            work.close()
            raise RuntimeCrashed(
                "A coroutine of the graph called a model or a tool and did not await it.",
                hint="In a node that is async, write: await model.ainvoke(...)",
            )
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._waited_for.add(future)
        try:
            return future.result()
        finally:
            self._waited_for.discard(future)

    def close(self) -> None:
        """Stop the calls that threads wait for."""
        for future in list(self._waited_for):
            future.cancel()

    def _reason(self, finish: str | None, *, silent: bool) -> FinishReason:
        if finish is None:
            raise ModelConnectionBroken(f"The answer of model '{self._model}' broke off before its end.")
        reason = finish_of(finish)
        if silent and reason is FinishReason.STOP and self._model_calls == 1:
            raise ModelAnswerEmpty(f"Model '{self._model}' gave an empty answer.")
        return reason


def max_turns(context: RuntimeExecutionContext) -> int:
    """How many model calls the turn may make."""
    settings: Mapping[str, Any] = context.configuration.get("runtime_config") or {}
    return settings.get("max_turns", MAX_TURNS)


def arguments_seen(written: str) -> Mapping[str, Any]:
    """Arguments as the framework takes them, which are always an object."""
    found = decoded(written)
    return {INVALID_JSON: found} if isinstance(found, str) else found


def arguments_meant(seen: Mapping[str, Any]) -> Mapping[str, Any] | str:
    """Arguments as the model wrote them."""
    raw = seen.get(INVALID_JSON)
    return raw if isinstance(raw, str) and len(seen) == 1 else seen


def as_text(arguments: Mapping[str, Any]) -> str:
    """Arguments in one line, as events tell them."""
    meant = arguments_meant(arguments)
    return meant if isinstance(meant, str) else json.dumps(meant, ensure_ascii=False)
