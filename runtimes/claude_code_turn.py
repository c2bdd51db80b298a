"""What the CLI's messages mean for a turn."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from claude_agent_sdk import (
    AssistantMessage,
    ContentBlock,
    Message,
    ResultMessage,
    StreamEvent,
    SystemMessage,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)

from runtimes.claude_code_tools import INTERNAL, Calls, Ending
from runtimes.claude_code_transcript import Start
from runtimes.claude_code_wire import text_of
from runtimes.errors import BudgetExceeded, ModelAnswerEmpty, OutputInvalid, RuntimeCrashed
from runtimes.types import (
    FinishReason,
    Resumed,
    RuntimeEvent,
    RuntimeExecutionContext,
    TextDelta,
    ToolCallCompleted,
    ToolCallStarted,
    ToolResult,
    TurnFinished,
)

_FINISH = {
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "refusal": FinishReason.CONTENT_FILTER,
}


class Speech:
    """What the assistant says, without what readers have from earlier attempts; `whole` gives messages in one piece."""

    def __init__(self, told: Sequence[str], *, whole: bool) -> None:
        self._told = deque(told)
        self._whole = whole
        self._message: list[str] = []
        self._spoken: list[str] = []

    @property
    def response(self) -> str:
        """What was said since the last tool call."""
        return "".join(self._spoken)

    def say(self, text: str) -> Iterator[TextDelta]:
        """A piece; it waits for its message's end while readers may have it."""
        self._message.append(text)
        self._spoken.append(text)
        if not self._held:
            yield TextDelta(text)

    def end_message(self) -> Iterator[TextDelta]:
        """A message ends."""
        text, held = "".join(self._message), self._held
        self._message.clear()
        if self._told and text and self._told.popleft() == text:
            return
        if text and held:
            yield TextDelta(text)

    def tell(self, text: str) -> Iterator[TextDelta]:
        """A whole message, before a tool call."""
        yield from self.say(text)
        yield from self.end_message()
        self.call()

    def call(self) -> None:
        """A tool is called: what follows is another message."""
        self._spoken.clear()

    @property
    def _held(self) -> bool:
        return self._whole or bool(self._told)


class ClaudeTurn:
    """Reads the messages of one turn; `finished` is set by the last one."""

    def __init__(self, context: RuntimeExecutionContext, calls: Calls, start: Start) -> None:
        self.finished: TurnFinished | None = None
        self._context = context
        self._calls = calls
        self._start = start
        self._speech = Speech(context.told if start.resumed else (), whole=not context.streaming)
        self._rounds = start.rounds
        self._asked: dict[str, ToolUseBlock] = {}
        self._stop = ""
        self._blocks = 0
        self._compacting = False

    def resumed(self) -> Iterator[RuntimeEvent]:
        """What readers have to know of a turn that goes on."""
        if self._start.resumed:
            yield Resumed()
        for text in self._start.texts:
            yield from self._speech.tell(text)

    async def read(self, message: Message | FinishReason) -> list[RuntimeEvent]:
        """What a message says.

        Raises:
            RuntimeFailure: that the turn has failed.
        """
        match message:
            case FinishReason():
                self.finished = TurnFinished(self._speech.response, message)
            case SystemMessage():
                self._noted(message)
            case StreamEvent(parent_tool_use_id=None):
                return self._heard(message.event)
            case AssistantMessage(parent_tool_use_id=None):
                self._said(message)
            case UserMessage():
                return await self._results(message)
            case ResultMessage():
                self.finished = self._finish(message)
            case _:
                pass
        return []

    def _noted(self, message: SystemMessage) -> None:
        if message.subtype == "init":
            _check_servers(message.data)
        elif message.subtype == "status":
            self._compacting = message.data.get("status") == "compacting"

    def _heard(self, event: Mapping[str, Any]) -> list[RuntimeEvent]:
        """What is summed up to make room in the context is no answer."""
        return [] if self._compacting else list(self._streamed(event))

    def _streamed(self, event: Mapping[str, Any]) -> Iterator[RuntimeEvent]:
        match event:
            case {"type": "message_start"}:
                self._stop, self._blocks = "", 0
            case {"type": "content_block_start"}:
                self._blocks += 1
            case {"type": "content_block_delta", "delta": {"type": "text_delta", "text": str(text)}}:
                yield from self._speech.say(text)
            case {"type": "message_delta", "delta": {"stop_reason": str(reason)}}:
                self._stop = reason
            case {"type": "message_stop"}:
                yield from self._speech.end_message()
                self._end_here()
            case _:
                pass

    def _end_here(self) -> None:
        """End the turn with an answer that the CLI would not take for the last one, and ask again for."""
        reason = _FINISH.get(self._stop)
        if reason is not None:
            self.finished = TurnFinished(self._speech.response, reason)
        elif self._stop == "tool_use":
            self._rounds += 1
        elif self._blocks == 0 or self._context.output_schema is not None:
            self.finished = self._stopped(None)

    def _stopped(self, output: Any) -> TurnFinished:
        """After tools an empty answer is one: the work is done."""
        if not self._speech.response and not self._rounds:
            raise ModelAnswerEmpty(f"Model '{self._context.model.model}' gave an empty answer.")
        return TurnFinished(self._speech.response, output=output)

    def _said(self, message: AssistantMessage) -> None:
        for block in message.content:
            if isinstance(block, ToolUseBlock):
                self._asked[block.id] = block
                self._speech.call()

    async def _results(self, message: UserMessage) -> list[RuntimeEvent]:
        blocks: list[ContentBlock] = message.content if isinstance(message.content, list) else []
        events: list[RuntimeEvent] = []
        for block in blocks:
            if isinstance(block, ToolResultBlock):
                result = ToolResult(text_of(block.content), bool(block.is_error))
                await self._calls.end(block.tool_use_id, result)
                events.extend(self._unseen(block.tool_use_id, result))
        return events

    def _unseen(self, call: str, result: ToolResult) -> Iterator[RuntimeEvent]:
        """A call that the CLI refused by itself: no such tool, or its arguments do not fit."""
        asked = self._asked.get(call)
        if asked is not None and asked.name not in INTERNAL and not self._calls.knows(call):
            yield ToolCallStarted(call, asked.name, json.dumps(asked.input, ensure_ascii=False))
            yield ToolCallCompleted(call, asked.name, result.text, result.is_error)

    def _finish(self, result: ResultMessage) -> TurnFinished:
        match result.subtype:
            case "error_max_turns":
                return TurnFinished(self._speech.response, FinishReason.TOOL_LIMIT)
            case "error_max_budget_usd":
                raise BudgetExceeded("The turn has cost max_budget_usd.", hint="Raise runtime_config.max_budget_usd.")
            case "error_max_structured_output_retries":
                raise OutputInvalid("The model gave no output that fits the schema.")
            case _ if result.is_error:
                raise RuntimeCrashed(f"Claude Code gave up: {_why(result)}")
            case _:
                return self._stopped(result.structured_output)


async def until_ending(messages: AsyncIterator[Message], ending: Ending) -> AsyncGenerator[Message | FinishReason]:
    """The messages; where the turn ends before they do, last of all why.

    Raises:
        RuntimeFailure: the turn failed behind a tool.
    """
    end = asyncio.ensure_future(ending.wait())
    following: asyncio.Future[Message] | None = None
    try:
        while True:
            following = asyncio.ensure_future(_next(messages))
            await asyncio.wait({following, end}, return_when=asyncio.FIRST_COMPLETED)
            if end.done():
                yield end.result()
                return
            yield following.result()
    except EOFError:
        return
    finally:
        end.cancel()
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _next(messages: AsyncIterator[Message]) -> Message:
    try:
        return await anext(messages)
    except StopAsyncIteration:
        raise EOFError from None


def _check_servers(init: Mapping[str, Any]) -> None:
    failed = [server["name"] for server in init.get("mcp_servers", ()) if server.get("status") == "failed"]
    if failed:
        raise RuntimeCrashed(f"Claude Code did not reach the tools of: {', '.join(failed)}.")


def _why(result: ResultMessage) -> str:
    return (result.result or "; ".join(result.errors or ()) or result.subtype)[:300]
