"""From what a graph streams to the events of a turn: one message at a time, each tool call once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage

from runtimes.langgraph_turn import Turn, as_text
from runtimes.types import RuntimeEvent, RuntimeExecutionContext, TextDelta, ToolCallCompleted, ToolCallStarted

#: Stands between two messages of a turn that have no tool call between them.
_PARAGRAPH = "\n\n"


@dataclass(slots=True)
class _Message:
    untold: list[str] = field(default_factory=list[str])
    ended: bool = False


class Narrator:
    """Tells the messages of model calls in the order of their beginnings, also where nodes run side by side."""

    def __init__(self, context: RuntimeExecutionContext, turn: Turn) -> None:
        self._tools = frozenset(tool.name for tool in context.tools)
        self._turn = turn
        self._open: dict[str, _Message] = {}
        self._speaker = ""
        self._said: list[str] = []
        self._calls: dict[str, bool] = {}

    def message(self, message: BaseMessage) -> Iterator[RuntimeEvent]:
        """A piece of a model's answer; what nodes put into the state themselves is no news."""
        if not isinstance(message, AIMessageChunk):
            return
        told = self._open.setdefault(message.id or "", _Message())
        told.untold.append(str(message.text))
        told.ended |= message.chunk_position == "last"
        while self._open:
            speaker, first = next(iter(self._open.items()))
            yield from self._say(speaker, first)
            if not first.ended:
                return
            del self._open[speaker]

    def update(self, payload: Any) -> Iterator[RuntimeEvent]:
        """What a node adds to the state: here calls of tools are told that are not the context's."""
        for message in _messages(payload):
            if isinstance(message, AIMessage):
                yield from self._started(message)
            elif isinstance(message, ToolMessage) and self._calls.get(message.tool_call_id) is False:
                self._calls[message.tool_call_id] = True
                is_error = message.status == "error"
                yield ToolCallCompleted(message.tool_call_id, message.name or "", str(message.text), is_error)

    def ending(self, answer: str) -> Iterator[RuntimeEvent]:
        """What is left to tell, so that the turn's text ends in its answer."""
        for speaker, message in self._open.items():
            yield from self._say(speaker, message)
        if answer and answer != "".join(self._said):
            yield from self._say("the graph itself", _Message([answer]))

    def said(self) -> str:
        """The text of the last message so far."""
        return "".join(self._said)

    def _say(self, speaker: str, message: _Message) -> Iterator[TextDelta]:
        for text in filter(None, message.untold):
            begins = speaker != self._speaker
            if begins:
                self._speaker, self._said = speaker, []
            self._said.append(text)
            yield TextDelta(_PARAGRAPH + text if begins and self._turn.spoke else text)
            self._turn.spoke = True
        message.untold.clear()

    def _started(self, message: AIMessage) -> Iterator[RuntimeEvent]:
        for call in message.tool_calls:
            call_id = call["id"] or ""
            if call["name"] not in self._tools and call_id not in self._calls:
                self._calls[call_id] = False
                self._turn.spoke = False
                yield ToolCallStarted(call_id, call["name"], as_text(call["args"]))


def answer_of(state: Mapping[str, Any]) -> str | None:
    """The text of the last AI message that followed the prompt; None if there is none."""
    for message in reversed(state.get("messages") or []):
        if isinstance(message, HumanMessage):
            return None
        if isinstance(message, AIMessage):
            return str(message.text)
    return None


def _messages(payload: Any) -> Iterator[BaseMessage]:
    if isinstance(payload, BaseMessage):
        yield payload
    elif isinstance(payload, Mapping):
        for value in cast("Mapping[str, Any]", payload).values():
            yield from _messages(value)
    elif isinstance(payload, Sequence) and not isinstance(payload, str | bytes):
        for value in cast("Sequence[Any]", payload):
            yield from _messages(value)
