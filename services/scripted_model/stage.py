"""Performs an answer for a caller: as a stream of events or as one body."""

import asyncio
from abc import ABC, abstractmethod

from services.scripted_model.actions import (
    Answer,
    Drop,
    Fail,
    FinishReason,
    Nonsense,
    Pause,
    Text,
    Thoughts,
    ToolCall,
    ToolCalls,
    Usage,
)
from services.scripted_model.caller import Caller
from services.scripted_model.errors import ModelError, Problem
from services.scripted_model.request_log import LoggedRequest
from services.scripted_model.wire import Writer

#: Pieces sent at once at full speed, between two looks at the other requests.
BATCH = 32
_HTML = b"<!doctype html><html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>\n"


class Stage(ABC):
    """One answer's performance; `headers` go out with the first byte."""

    content_type: str

    def __init__(self, caller: Caller, log: LoggedRequest, headers: dict[str, str]) -> None:
        self.log = log
        self._caller = caller
        self._headers = headers
        self._usage = Usage(0, 0)

    async def perform(self, answer: Answer) -> None:
        """Raises ModelError for an error before the first byte, CallerGoneError when the connection has ended."""
        self._usage = answer.usage
        for action in answer.actions:
            match action:
                case Text():
                    await self.speak(action)
                case Thoughts():
                    self.think(action)
                case ToolCalls():
                    self.call_tools(action)
                case Pause():
                    await self.flush()
                    await self._caller.pause(action.seconds)
                case Drop():
                    await self.flush()
                    await self._caller.drop()
                case Fail() | Nonsense():
                    await self._spoil(action)
                    return
        await self.finish(answer.finish, answer.usage)

    @abstractmethod
    async def speak(self, text: Text) -> None: ...

    @abstractmethod
    def think(self, thoughts: Thoughts) -> None: ...

    @abstractmethod
    def call_tools(self, tools: ToolCalls) -> None: ...

    @abstractmethod
    async def flush(self) -> None: ...

    @abstractmethod
    async def fail(self, problem: Problem, *, in_stream: bool) -> None: ...

    @abstractmethod
    async def finish(self, reason: FinishReason, usage: Usage) -> None: ...

    @abstractmethod
    def garbage(self) -> bytes: ...

    async def _spoil(self, action: Fail | Nonsense) -> None:
        self.log.outcome = "failed"
        await self.flush()
        if isinstance(action, Fail):
            await self.fail(action.problem, in_stream=action.in_stream)
        elif action.kind == "html":
            await self._end(_HTML, "text/html; charset=utf-8")
        else:
            await self._end(self.garbage(), self.content_type)

    async def _end(self, data: bytes, content_type: str) -> None:
        await self._start(content_type)
        await self._caller.write(data, end=True)

    async def _start(self, content_type: str) -> None:
        if not self._caller.has_heard:
            await self._caller.start(self.log, 200, {"content-type": content_type, **self._headers})


class StreamStage(Stage):
    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, caller: Caller, log: LoggedRequest, headers: dict[str, str], writer: Writer) -> None:
        super().__init__(caller, log, headers)
        self._writer = writer
        self._waiting: list[bytes] = []
        self._tokens_waiting = 0
        self._clock = asyncio.get_running_loop().time

    async def speak(self, text: Text) -> None:
        began = self._clock()
        for number, piece in enumerate(text.pieces):
            await self._due_at(began + number / text.rate)
            self._open()
            self._waiting.append(self._writer.text(piece, is_refusal=text.is_refusal))
            self._tokens_waiting += 1
            if number == 0:
                await self.flush()

    def think(self, thoughts: Thoughts) -> None:
        self._open()
        self._waiting.append(self._writer.think(thoughts))
        self._tokens_waiting += 1

    def call_tools(self, tools: ToolCalls) -> None:
        self._open()
        self._waiting.append(self._writer.tool_calls(tools.calls))
        self._tokens_waiting += len(tools.calls)

    async def flush(self) -> None:
        if self._waiting:
            await self._start(self.content_type)
            await self._caller.write(self._taken())

    async def fail(self, problem: Problem, *, in_stream: bool) -> None:
        if not (in_stream or self._caller.has_heard):
            raise ModelError(problem)
        await self._end(self._writer.error(problem), self.content_type)

    async def finish(self, reason: FinishReason, usage: Usage) -> None:
        self._open()
        self._waiting.append(self._writer.closing(reason, usage))
        await self._end(self._taken(), self.content_type)

    def garbage(self) -> bytes:
        return b'data: {"choices": [{"delta": {"content\n\n'

    def _open(self) -> None:
        if not (self._caller.has_heard or self._waiting):
            self._waiting.append(self._writer.opening(self._usage))

    def _taken(self) -> bytes:
        taken = b"".join(self._waiting)
        self._waiting.clear()
        self.log.tokens_sent += self._tokens_waiting
        self._tokens_waiting = 0
        return taken

    async def _due_at(self, moment: float) -> None:
        ahead = moment - self._clock()
        if ahead > 0 or len(self._waiting) >= BATCH:
            await self.flush()
            await self._caller.pause(max(ahead, 0))


class WholeStage(Stage):
    content_type = "application/json"

    @abstractmethod
    def body(self, reason: FinishReason, usage: Usage) -> bytes: ...

    async def flush(self) -> None:
        """Nothing goes out before the end."""

    async def fail(self, problem: Problem, *, in_stream: bool) -> None:
        raise ModelError(problem)

    async def finish(self, reason: FinishReason, usage: Usage) -> None:
        body = self.body(reason, usage)
        self._headers["content-length"] = str(len(body))
        await self._end(body, self.content_type)

    def garbage(self) -> bytes:
        return b'{"id": "broken", "choices": [{"message'


class BodyStage(WholeStage):
    def __init__(self, caller: Caller, log: LoggedRequest, headers: dict[str, str], writer: Writer) -> None:
        super().__init__(caller, log, headers)
        self._writer = writer
        self._pieces: list[str] = []
        self._thoughts: list[Thoughts] = []
        self._calls: list[ToolCall] = []

    async def speak(self, text: Text) -> None:
        self._pieces += text.pieces
        if seconds := len(text.pieces) / text.rate:
            await self._caller.pause(seconds)

    def think(self, thoughts: Thoughts) -> None:
        self._thoughts.append(thoughts)

    def call_tools(self, tools: ToolCalls) -> None:
        self._calls += tools.calls

    def body(self, reason: FinishReason, usage: Usage) -> bytes:
        self.log.tokens_sent = len(self._thoughts) + len(self._pieces) + len(self._calls)
        return self._writer.whole(self._thoughts, "".join(self._pieces), self._calls, reason, usage)
