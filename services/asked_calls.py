"""The tool calls that the model has asked for in a turn, as its recorded answers have them: no framework's word counts.

What a framework hands to a tool is found here again, and run as the model wrote it. What the turn's limits or the
answer's end forbid is refused here, whatever the framework's loop does.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson

from runtimes.errors import AnswerCut, ContentRefused, LimitReached, RuntimeFailure
from runtimes.tool_arguments import decoded
from runtimes.tool_calls import MAX_TURNS, TOOL_CALL_LIMIT, not_run
from runtimes.types import FinishReason, ToolResult, TurnFinished


@dataclass(slots=True, eq=False)
class AskedCall:
    """A call as the model wrote it.

    `refusal` is why it must not run; `is_known` is whether its tool was offered with the request. `is_told` is
    whether the journal has it; `outcome` is what it came to, or will.
    """

    id: str
    name: str
    arguments: str
    is_known: bool = True
    refusal: str = ""
    is_told: bool = False
    is_taken: bool = False
    outcome: "asyncio.Future[ToolResult] | None" = None

    @property
    def may_run_elsewhere(self) -> bool:
        """Whether it can be a call of a tool that the framework brings."""
        return self.is_known and not (self.refusal or self.is_told or self.is_taken)

    def wants(self, name: str, arguments: Mapping[str, Any] | str) -> bool:
        """Whether it is a call of this tool with these arguments."""
        return self.name == name and decoded(self.arguments) == arguments


@dataclass(slots=True)
class AskedCalls:
    """The calls of one attempt at a turn; `most_answers` and `most_calls` are the turn's limits."""

    most_answers: int = MAX_TURNS
    most_calls: int = TOOL_CALL_LIMIT
    turn: int = 1
    ours: set[str] = field(default_factory=set[str])
    limit: LimitReached | None = None
    _calls: list[AskedCall] = field(default_factory=list[AskedCall])
    _answers: int = 0
    _asked: int = 0
    _finish: FinishReason = FinishReason.STOP
    _unasked: dict[str, int] = field(default_factory=dict[str, int])

    @classmethod
    def within(cls, configuration: Mapping[str, Any], turn: int) -> "AskedCalls":
        """Within the limits of an agent's configuration; what cannot be one is refused elsewhere."""
        settings: Mapping[str, Any] = configuration.get("runtime_config") or {}
        answers, calls = settings.get("max_turns"), settings.get("tool_call_limit")
        return cls(
            answers if isinstance(answers, int) else MAX_TURNS,
            calls if isinstance(calls, int) else TOOL_CALL_LIMIT,
            turn,
        )

    def check(self) -> None:
        """Let a model be called.

        Raises:
            LimitReached: there were as many answers or calls as there may be.
        """
        if self.limit is None and self._answers >= self.most_answers:
            self.limit = _reached("max_turns", self.most_answers)
        if self.limit is not None:
            raise self.limit

    def answered(self, finish: FinishReason, calls: Sequence[AskedCall]) -> None:
        """Note an answer, before the framework sees its end."""
        self._answers += 1
        self._finish = finish
        end = self._end(finish, len(calls)) if calls else None
        for call in calls:
            call.refusal = not_run(end) if end is not None else ""
        self._calls += calls

    def failure(self, finished: TurnFinished) -> RuntimeFailure | None:
        """Tell why the turn has no answer, if it has none: a limit or a filter ended it before the model was done."""
        if self.limit is not None:
            return self.limit
        if finished.finish_reason is FinishReason.TOOL_LIMIT:
            return LimitReached("The turn has reached a limit of its framework without an answer.")
        if finished.response.strip():
            return None
        if self._finish is FinishReason.LENGTH:
            return AnswerCut("The model's answer was cut at its limit of tokens, before it said anything.")
        if self._finish is FinishReason.CONTENT_FILTER:
            return ContentRefused("The provider's filter cut the model's answer, before it said anything.")
        return None

    def find(self, call_id: str) -> AskedCall | None:
        """The latest call with an id."""
        return next((call for call in reversed(self._calls) if call.id and call.id == call_id), None)

    def take(self, call_id: str | None, name: str, arguments: Mapping[str, Any] | str) -> AskedCall | None:
        """The call that a framework means by what it hands to a tool; None if the model asked for none such.

        It is found by its id; else by name and arguments; else by name, if one is open only; else in order.
        """
        found = self._by_id(call_id) if call_id else None
        found = found or self._by_name(name, arguments)
        if found is not None:
            found.is_taken = True
        return found

    def _by_id(self, call_id: str) -> AskedCall | None:
        same = [call for call in self._calls if call.id == call_id]
        return next((call for call in same if not call.is_taken), same[-1] if same else None)

    def _by_name(self, name: str, arguments: Mapping[str, Any] | str) -> AskedCall | None:
        named = [call for call in self._calls if call.name == name and not (call.is_taken or call.is_told)]
        return next((call for call in named if call.wants(name, arguments)), next(iter(named), None))

    def own_id(self, name: str, arguments: Mapping[str, Any] | str) -> str:
        """An id for a call that no model asked for: the same in every attempt."""
        digest = sha256(orjson.dumps([name, arguments], option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
        self._unasked[digest] = self._unasked.get(digest, 0) + 1
        return f"code_{self.turn}_{digest}_{self._unasked[digest]}"

    def untold(self) -> Iterator[AskedCall]:
        """Calls that no tool has seen, and that are no business of the framework's own tools."""
        for call in self._calls:
            is_ours = call.refusal or not call.is_known or call.name in self.ours
            if is_ours and not (call.is_told or call.is_taken):
                yield call

    def _end(self, finish: FinishReason, count: int) -> FinishReason | None:
        """Tell why calls of an answer must not run; None if they may."""
        if finish is not FinishReason.STOP:
            return finish
        self._asked += count
        if self._answers >= self.most_answers:
            self.limit = _reached("max_turns", self.most_answers)
        elif self._asked > self.most_calls:
            self.limit = _reached("tool_call_limit", self.most_calls)
        return FinishReason.TOOL_LIMIT if self.limit is not None else None


def _reached(name: str, limit: int) -> LimitReached:
    return LimitReached(f"The turn has reached its limit without an answer: {name} = {limit}.")
