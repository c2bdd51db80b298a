"""What a turn of the OpenAI Agents runtime has done so far: its answers, their tool calls, its limits."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from runtimes.errors import ModelAnswerInvalid, ModelConnectionBroken, RuntimeFailure
from runtimes.finish_reasons import finish_of
from runtimes.tool_calls import RequestedCall, ToolCalls
from runtimes.types import FinishReason, RuntimeExecutionContext


class Turn:
    """The model and the tools write to it, the runtime reads from it."""

    def __init__(self, context: RuntimeExecutionContext) -> None:
        self.streaming = context.streaming
        self.calls = ToolCalls(context)
        self.finish = FinishReason.STOP
        self.failure: RuntimeFailure | asyncio.CancelledError | None = None
        #: The ids of calls that are handoffs.
        self.handoffs: set[str] = set()
        self._asked: dict[str, RequestedCall] = {}
        self._number = context.turn
        self._model = context.model.model
        self._answers = 0
        self._text: list[str] = []

    @property
    def response(self) -> str:
        """The text of the last answer."""
        return "".join(self._text)

    def begin_answer(self) -> None:
        """A model is called now.

        Raises:
            RuntimeFailure: the turn has failed, and the SDK has not noticed.
        """
        if self.failure is not None:
            raise self.failure
        self._answers += 1
        self._text.clear()

    def say(self, text: str) -> None:
        """Note a piece of the answer."""
        self._text.append(text)

    def settle(self, asked: Sequence[RequestedCall], finish: str | None) -> Sequence[RequestedCall]:
        """The tool calls of the answer that the SDK gets to see: all of them, or none when the turn has to end.

        Raises:
            ModelAnswerInvalid, ModelConnectionBroken: it is no answer.
        """
        reason = self._reason(finish, silent=not self.response and not asked)
        named = [replace(call, id=call.id or self._call_id(at)) for at, call in enumerate(asked)]
        end = self.calls.end_of(reason, named)
        if end is None:
            self._asked.update((call.id, call) for call in named)
            return named
        self.finish = end
        self.calls.refuse(named, end)
        return ()

    def asked(self, call_id: str) -> RequestedCall:
        """A call of this turn, as the model wrote it."""
        return self._asked[call_id]

    def _call_id(self, at: int) -> str:
        """The same in every attempt, other in every answer of an execution."""
        return f"call_{self._number}_{self._answers}_{at}"

    def _reason(self, finish: str | None, *, silent: bool) -> FinishReason:
        if finish is None:
            raise ModelConnectionBroken(f"The answer of model '{self._model}' broke off before its end.")
        reason = finish_of(finish)
        if silent and reason is FinishReason.STOP and self._answers == 1:
            raise ModelAnswerInvalid(f"Model '{self._model}' gave an empty answer.")
        return reason
