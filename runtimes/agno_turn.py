"""What a turn of the Agno runtime has done so far: its model calls, its text, its tool calls."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from agno.models.message import Message

from runtimes.errors import ModelAnswerEmpty, ModelAnswerInvalid, ModelConnectionBroken, RuntimeFailure
from runtimes.finish_reasons import finish_of
from runtimes.tool_calls import RequestedCall, ToolCalls
from runtimes.types import (
    FinishReason,
    RuntimeExecutionContext,
    ToolCallCompleted,
    ToolCallStarted,
)


@dataclass(slots=True)
class Answer:
    """One model call's answer as far as it has come; `finish` is the provider's own word."""

    started: bool = False
    spoke: bool = False
    finish: str | None = None


class Turn:
    """The watched models write to it, the runtime reads from it."""

    def __init__(self, context: RuntimeExecutionContext) -> None:
        self.streaming = context.streaming
        self.finish = FinishReason.STOP
        self.failure: RuntimeFailure | None = None
        self.answer = Answer()
        self._answers = 0
        self._model = context.model.model
        self._tools = ToolCalls(context)
        self._asked: list[RequestedCall] = []
        self._text: list[str] = []

    @property
    def response(self) -> str:
        """The text of the last assistant message."""
        return "".join(self._text)

    def say(self, text: str) -> None:
        """Note a piece of the current message."""
        self._text.append(text)

    def events(self) -> Iterator[ToolCallStarted | ToolCallCompleted]:
        """Calls that no tool saw, each told once."""
        return self._tools.events()

    @contextmanager
    def model_call(self) -> Generator[None]:
        """Watch one model call.

        Raises:
            RuntimeFailure: there is no answer that can be used; kept in `failure`, because Agno swallows it.
        """
        if self.failure is not None:
            raise self.failure
        self.answer = Answer()
        self._answers += 1
        self._text.clear()
        try:
            yield
            self._settle()
        except RuntimeFailure as failure:
            self.failure = failure
            raise

    def ask(self, calls: Sequence[Mapping[str, Any]]) -> None:
        """Note the tool calls of the answer that has just come."""
        self._asked = [RequestedCall(call["id"], **_named(call["function"])) for call in calls]

    async def run_tools(self) -> list[Message]:
        """Run the tool calls of the last answer, or refuse them where the turn ends with it.

        Raises:
            RuntimeFailure: a tool's call ends the turn; kept in `failure`, because Agno swallows it.
        """
        end = self._tools.end_of(self.finish, self._asked)
        try:
            results = await self._tools.run(self._asked) if end is None else self._tools.refuse(self._asked, end)
        except RuntimeFailure as failure:
            self.failure = failure
            raise
        self.finish = end or self.finish
        return [
            Message(
                role="tool",
                content=result.text,
                tool_call_id=call.id,
                tool_name=call.name,
                tool_call_error=result.is_error,
                stop_after_tool_call=end is not None,
            )
            for call, result in zip(self._asked, results, strict=True)
        ]

    def _settle(self) -> None:
        answer = self.answer
        if not answer.started:
            raise ModelAnswerInvalid(f"What answered for model '{self._model}' spoke no model's language.")
        if answer.finish is None:
            raise ModelConnectionBroken(f"The answer of model '{self._model}' broke off before its end.")
        self.finish = finish_of(answer.finish)
        if self._answers == 1 and not answer.spoke and self.finish is FinishReason.STOP:
            raise ModelAnswerEmpty(f"Model '{self._model}' gave an empty answer.")


def _named(function: Mapping[str, Any]) -> dict[str, str]:
    return {"name": function["name"], "arguments": function.get("arguments") or ""}
