"""Carries the CLI's model calls from a unix socket to the model gateway, and adds the attempt's token.

The token stays in the worker: commands that the agent runs beside the CLI could read it there.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runtimes.claude_code_wire import calls_of
from runtimes.types import ModelEndpoint

#: The longest head of a request; what is read of an answer at once.
_MOST_HEAD = 2**18
_PIECE = 2**16
#: Bytes of a body, seconds until it is there, and calls at once: what an agent runs beside the CLI reaches the socket.
_MOST_BODY = 2**26
_SECONDS = 60.0
_MOST_CALLS = 32
_REPLACED = (b"x-api-key:", b"authorization:", b"connection:", b"content-length:")
_STOP_REASON = re.compile(rb'"stop_reason":\s*"(\w+)"')
_CUT_OFF = (b"max_tokens", b"refusal", b"model_context_window_exceeded")
#: Seconds that the CLI waits after an answer for which it asks again: the turn ends in them, if the answer was its own.
_LAST_SECONDS = 1.0
_FIRST_ERROR = 400
#: The CLI can do without a count of tokens.
_COUNT = b"/count_tokens"
_BROKEN = (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)

#: An answer: its id as `message`, its tool calls as `calls`.
Asked = Mapping[str, Any]
#: Sees a request's body before it goes out; gives the body to send, or an answer that needs no model.
Review = Callable[[dict[str, Any]], Awaitable[dict[str, Any] | bytes]]


@dataclass(slots=True)
class _Answer:
    """What has come of an answer so far."""

    received: bytearray = field(default_factory=bytearray)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def runs(self) -> bool:
        """Whether its tool calls may run: it came to its end, and that was no cut."""
        return bool(self.reason) and self.reason not in _CUT_OFF

    def is_last(self, *, structured: bool) -> bool:
        """Whether the runtime ends the turn with it, where the CLI asks again: it was cut, is empty, or has no tool."""
        reason, is_empty = self.reason, b"content_block_start" not in self.received
        return reason in _CUT_OFF or (reason == b"end_turn" and (structured or is_empty))

    @property
    def reason(self) -> bytes:
        reasons = _STOP_REASON.findall(self.received)
        return reasons[-1] if reasons else b""

    @property
    def status(self) -> int:
        return int(self.received[9:12])


class ModelRelay:
    """Serves one turn."""

    def __init__(
        self,
        endpoint: ModelEndpoint,
        review: Review,
        failed: Callable[[int], None],
        *,
        structured: bool = False,
        seconds: float = _SECONDS,
    ) -> None:
        url = urlsplit(endpoint.base_url)
        self._host, self._port = url.hostname or "127.0.0.1", url.port or 80
        self._token = endpoint.api_key
        self._review = review
        self._failed = failed
        self._structured = structured
        self._seconds = seconds
        self._answers: list[_Answer] = []
        self._unseen: list[_Answer] = []
        self._asked: dict[str, Asked] = {}
        self._calls: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self, socket: Path) -> AsyncGenerator[None]:
        """Listen on the socket for as long as this is open."""
        server = await asyncio.start_unix_server(self._serve, socket, limit=_MOST_HEAD)
        try:
            yield
        finally:
            server.close()
            for call in self._calls:
                call.cancel()

    async def settled(self, call: str) -> Asked | None:
        """Wait until the answer that has the call has ended: then it is in the journal; gives it to the first one.

        A call out of an answer that broke off never returns.
        """
        for answer in [each for each in self._answers if call.encode() in each.received]:
            await answer.ended.wait()
            if not answer.runs:
                await asyncio.Event().wait()
        asked = self._asked.get(call)
        for block in asked["calls"] if asked else ():
            self._asked.pop(block["id"], None)
        return asked

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection carries one request; either side's end is the other's."""
        if len(self._calls) >= _MOST_CALLS:
            return writer.close()
        call = asyncio.ensure_future(self._call(reader, writer))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        with suppress(*_BROKEN, asyncio.CancelledError):
            await call
        return writer.close()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(self._seconds):
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(_length(head))
        watch = asyncio.ensure_future(reader.read(1))
        work = asyncio.ensure_future(self._forward(head, body, writer))
        try:
            await asyncio.wait({watch, work}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watch.cancel()
            work.cancel()
            await asyncio.gather(watch, work, return_exceptions=True)

    async def _forward(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        if body:
            reviewed = await self._review(json.loads(body))
            if isinstance(reviewed, bytes):
                self._ask(reviewed)
                writer.write(reviewed)
                return await writer.drain()
            body = json.dumps(reviewed).encode()
            await self._wait_for_the_end()
        answers, gateway = await asyncio.open_connection(self._host, self._port)
        try:
            gateway.write(self._with_token(head, len(body)) + body)
            await self._answer(answers, writer, counts=_COUNT in head.partition(b"\r\n")[0])
        finally:
            gateway.close()
        return None

    async def _wait_for_the_end(self) -> None:
        answers, self._unseen = self._unseen, [answer for answer in self._unseen if not answer.reason]
        if any(answer.is_last(structured=self._structured) for answer in answers):
            await asyncio.sleep(_LAST_SECONDS)

    async def _answer(self, source: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counts: bool) -> None:
        answer = _Answer()
        self._answers.append(answer)
        if not counts:
            self._unseen.append(answer)
        try:
            while piece := await source.read(_PIECE):
                answer.received += piece
                if counts or answer.status < _FIRST_ERROR:
                    writer.write(piece)
                    await writer.drain()
            if answer.status >= _FIRST_ERROR and not counts:
                await self._error(answer, writer)
        finally:
            if answer.runs:
                self._ask(bytes(answer.received))
                self._answers.remove(answer)
            answer.ended.set()

    def _ask(self, stream: bytes) -> None:
        message, calls = calls_of(stream)
        self._asked |= {block["id"]: {"message": message, "calls": calls} for block in calls}

    async def _error(self, answer: _Answer, writer: asyncio.StreamWriter) -> None:
        """Ends the turn; an overflown context does not, the CLI shortens it by itself."""
        if b"too long" not in answer.received:
            self._failed(answer.status)
            await asyncio.Event().wait()
        writer.write(answer.received)
        await writer.drain()

    def _with_token(self, head: bytes, length: int) -> bytes:
        lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        kept = [line for line in lines if not line.lower().startswith(_REPLACED)]
        ours = f"x-api-key: {self._token}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        return b"\r\n".join(kept) + b"\r\n" + ours.encode()


def _length(head: bytes) -> int:
    """The length of the body that follows a head.

    Raises:
        ValueError: it is none, or too long.
    """
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
            if not 0 <= length <= _MOST_BODY:
                raise ValueError(f"A request of {length} bytes.")
            return length
    return 0
