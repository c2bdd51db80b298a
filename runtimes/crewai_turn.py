"""What a turn of the CrewAI runtime has done so far: its answers, their tool calls, its limits, its events."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from runtimes.errors import ModelAnswerEmpty, ModelConnectionBroken, RuntimeCrashed, RuntimeFailure
from runtimes.finish_reasons import finish_of
from runtimes.tool_calls import MAX_TURNS, RequestedCall, ToolCalls
from runtimes.types import (
    FinishReason,
    RuntimeEvent,
    RuntimeExecutionContext,
    TextDelta,
    ToolCallCompleted,
    ToolCallStarted,
)

#: Stands between two messages of a turn that have no tool call between them.
_PARAGRAPH = "\n\n"

Made = TypeVar("Made")


class TurnOver(BaseException):
    """Leads a crew's thread out of the framework, past everything there that catches exceptions."""


class Turn:
    """The models and tools of a crew's threads write to it, the runtime reads from it; all on the event loop."""

    def __init__(self, context: RuntimeExecutionContext) -> None:
        settings: Mapping[str, Any] = context.configuration.get("runtime_config") or {}
        self.streaming = context.streaming
        self.calls = ToolCalls(context)
        self.finish = FinishReason.STOP
        self.response = ""
        self.events: asyncio.Queue[RuntimeEvent] = asyncio.Queue()
        self.over = asyncio.Event()
        self.failure: RuntimeFailure | asyncio.CancelledError | None = None
        self._model = context.model.model
        self._answers_left: int = settings.get("max_turns", MAX_TURNS)
        self._answers = 0
        self._asked: dict[str, RequestedCall] = {}
        self._texts: dict[str, str] = {}
        self._speaker = 0
        self._spoke = False
        self._loop = asyncio.get_running_loop()
        self._waited_for: set[Future[Any]] = set()

    def begin_answer(self) -> int:
        """A model is called now; gives the answer's number.

        Raises:
            TurnOver: it may not be called any more.
        """
        if not self.over.is_set() and self._answers_left < 1:
            self.end(FinishReason.TOOL_LIMIT)
        if self.over.is_set():
            raise TurnOver
        self._answers_left -= 1
        self._answers += 1
        return self._answers

    def say(self, answer: int, text: str) -> None:
        """Tell a piece of an answer."""
        if not text:
            return
        if answer != self._speaker:
            text = _PARAGRAPH + text if self._spoke else text
            self._speaker = answer
        self._spoke = True
        self.events.put_nowait(TextDelta(text))

    def settle(
        self, answer: int, text: str, asked: Sequence[RequestedCall], finish: str | None
    ) -> Sequence[RequestedCall]:
        """The tool calls of an answer that the crew gets to see: all of them, or none when they may not be run.

        Raises:
            ModelAnswerEmpty, ModelConnectionBroken: it is no answer.
            TurnOver: the turn ends with it.
        """
        reason = self._reason(answer, finish, silent=not text and not asked)
        self.finish, self.response = FinishReason.STOP, text
        end = self.calls.end_of(reason, asked)
        if end is None:
            self._asked.update((call.id, call) for call in asked)
            self._texts.update((call.id, text) for call in asked[:1])
            self._spoke = False
            return asked
        self.calls.refuse(asked, end)
        self.tell_answered()
        self.finish = end
        if end is FinishReason.TOOL_LIMIT:
            self.end(end)
            raise TurnOver
        return ()

    def asked(self, call_id: str) -> RequestedCall | None:
        """A call of this turn, as the model wrote it."""
        return self._asked.get(call_id)

    def said_with(self, call_id: str) -> str | None:
        """The text of the answer that began with this call."""
        return self._texts.get(call_id) or None

    def tell(self, event: ToolCallStarted | ToolCallCompleted) -> None:
        """Tell of a call that the tool gateway does not see."""
        self._spoke = False
        self.events.put_nowait(event)

    def tell_answered(self) -> None:
        """Tell of calls that no tool saw."""
        for event in self.calls.events():
            self.tell(event)

    def end(self, finish: FinishReason) -> None:
        """The turn is over, whatever the crew still wants."""
        self.finish = finish
        self.over.set()

    def fail(self, failure: RuntimeFailure | asyncio.CancelledError) -> None:
        """The turn has failed, whatever the crew makes of it."""
        self.failure = self.failure or failure
        self.over.set()

    def wait_for(self, work: Coroutine[Any, Any, Made]) -> Made:
        """Run a model or tool call on the event loop, for a thread of the crew.

        Raises:
            TurnOver: the turn has been stopped, or has failed.
        """
        if self.over.is_set():
            work.close()
            raise TurnOver
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._waited_for.add(future)
        wait([future])
        self._waited_for.discard(future)
        error = None if future.cancelled() else future.exception()
        if error is None and not future.cancelled():
            return future.result()
        if error is not None:
            self._loop.call_soon_threadsafe(self._end_by, error)
        raise TurnOver from error

    def close(self) -> None:
        """Stop the calls that threads wait for, and let none begin."""
        self.over.set()
        for future in list(self._waited_for):
            future.cancel()

    def _end_by(self, error: BaseException) -> None:
        """What nobody expected fails the turn."""
        if not self.over.is_set():
            self.fail(RuntimeCrashed(f"{type(error).__name__}: {error}"))

    def _reason(self, answer: int, finish: str | None, *, silent: bool) -> FinishReason:
        if finish is None:
            raise ModelConnectionBroken(f"The answer of model '{self._model}' broke off before its end.")
        reason = finish_of(finish)
        if silent and reason is FinishReason.STOP and answer == 1:
            raise ModelAnswerEmpty(f"Model '{self._model}' gave an empty answer.")
        return reason
