"""What a turn of the Agno runtime has done so far: its model calls, their usage, its text, its limits."""

from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from agno.exceptions import AgnoError
from agno.tools.function import Function, FunctionCall
from openai import APIError

from runtimes.errors import ModelAnswerInvalid, ModelConnectionBroken, RuntimeFailure
from runtimes.model_errors import classify
from runtimes.tool_arguments import decoded
from runtimes.types import (
    FinishReason,
    RuntimeExecutionContext,
    Tool,
    ToolCallCompleted,
    ToolCallStarted,
    Usage,
)

#: Model calls of a turn, and tool calls of a turn, unless the agent's `runtime_config` says otherwise.
MAX_TURNS = 100
TOOL_CALL_LIMIT = 500

_FINISH = {
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "refusal": FinishReason.CONTENT_FILTER,
}
_NOT_RUN = "Not run: {reason}. The turn ends here."


@dataclass(slots=True)
class Answer:
    """One model call's answer as far as it has come; `finish` is the provider's own word."""

    started: bool = False
    spoke: bool = False
    finish: str | None = None
    usage: Usage = field(default_factory=Usage)
    model: str = ""


class Turn:
    """The watched models write to it, the runtime reads from it."""

    def __init__(self, context: RuntimeExecutionContext) -> None:
        self.settings: Mapping[str, Any] = context.configuration.get("runtime_config") or {}
        self.endpoint = context.model
        self.streaming = context.streaming
        self.calls = context.model_calls
        self.finish = FinishReason.STOP
        self.failure: RuntimeFailure | None = None
        self.answer = Answer()
        self._tools = {tool.name: tool for tool in context.tools}
        self._max_turns: int = self.settings.get("max_turns", MAX_TURNS)
        self._tool_call_limit: int = self.settings.get("tool_call_limit", TOOL_CALL_LIMIT)
        self._tool_calls = 0
        self._text: list[str] = []
        self._events: deque[ToolCallStarted | ToolCallCompleted] = deque()

    @property
    def response(self) -> str:
        """The text of the last assistant message."""
        return "".join(self._text)

    def say(self, text: str) -> None:
        """Note a piece of the current message."""
        self._text.append(text)

    def events(self) -> Iterator[ToolCallStarted | ToolCallCompleted]:
        """Calls that no tool saw, each told once."""
        while self._events:
            yield self._events.popleft()

    @contextmanager
    def model_call(self) -> Generator[None]:
        """Watch one model call.

        Raises:
            RuntimeFailure: whatever went wrong, typed; kept in `failure`, because Agno swallows it. It has no cause:
                the provider's own words may repeat the key, and would go to logs and to Temporal.
        """
        if self.failure is not None:
            raise self.failure
        self.answer = answer = Answer()
        self.calls.begin(self.endpoint.model)
        self._text.clear()
        try:
            yield
            self._settle()
        except (AgnoError, APIError, ValueError) as error:
            self.failure = classify(error, self.endpoint)
            raise self.failure from None
        except RuntimeFailure as failure:
            self.failure = failure
            raise
        finally:
            self.calls.end(answer.usage, answer.model)

    def function_calls(self, calls: Sequence[Mapping[str, Any]]) -> list[FunctionCall]:
        """What Agno is to run for the model's tool calls: all of them, or none when the turn has to end."""
        made = self.calls.usage.model_calls
        over = made >= self._max_turns or self._tool_calls + len(calls) > self._tool_call_limit
        if over and self.finish is FinishReason.STOP:
            self.finish = FinishReason.TOOL_LIMIT
        return [self._function_call(call["id"], **call["function"]) for call in calls]

    def _settle(self) -> None:
        answer = self.answer
        if not answer.started:
            raise ModelAnswerInvalid(f"What answered for model '{self.endpoint.model}' spoke no model's language.")
        if answer.finish is None:
            raise ModelConnectionBroken(f"The answer of model '{self.endpoint.model}' broke off before its end.")
        self.finish = _FINISH.get(answer.finish, FinishReason.STOP)
        first = self.calls.usage.model_calls == 1
        if first and not answer.spoke and self.finish is FinishReason.STOP:
            raise ModelAnswerInvalid(f"Model '{self.endpoint.model}' gave an empty answer.")

    def _function_call(self, call_id: str, name: str, arguments: str, **_: Any) -> FunctionCall:
        tool = self._tools.get(name)
        ends = self.finish is not FinishReason.STOP
        if ends:
            run = partial(self._refuse, call_id, name, arguments, _NOT_RUN.format(reason=self.finish.value))
        elif tool is None:
            run = partial(self._refuse, call_id, name, arguments, f"There is no tool '{name}'. {self._known()}")
        else:
            run = partial(self._run, tool, call_id, decoded(arguments))
        return FunctionCall(function=Function(name=name, entrypoint=run, stop_after_tool_call=ends), call_id=call_id)

    async def _run(self, tool: Tool, call_id: str, arguments: Mapping[str, Any] | str) -> str:
        self._tool_calls += 1
        try:
            return (await tool.call(call_id, arguments)).text
        except RuntimeFailure as failure:
            self.failure = failure
            raise

    async def _refuse(self, call_id: str, name: str, arguments: str, text: str) -> str:
        self._events.append(ToolCallStarted(call_id, name, arguments))
        self._events.append(ToolCallCompleted(call_id, name, text, is_error=True))
        return text

    def _known(self) -> str:
        return f"Known tools: {', '.join(self._tools)}." if self._tools else "There are no tools at all."
