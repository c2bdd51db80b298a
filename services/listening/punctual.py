"""The protocol of our uvicorn servers: it closes connections whose clients take too long."""

from asyncio import AbstractEventLoop, TimerHandle, Transport
from collections.abc import Callable
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.listening.deadlines import BODY_SECONDS, HEAD_BYTES, HEAD_SECONDS, UNREAD_SECONDS

#: A timer that is as late as this had a loop that was busy: what the client sent may still wait to be read.
_LATE_SECONDS = 1.0


class PunctualProtocol(HttpToolsProtocol):
    """Gives the head of a request, its body, and the reading of an answer a time each."""

    head_seconds: ClassVar[float] = HEAD_SECONDS
    body_seconds: ClassVar[float] = BODY_SECONDS
    unread_seconds: ClassVar[float] = UNREAD_SECONDS

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Expect the head of a request."""
        super().connection_made(transport)
        self._asked = _Timer(self.loop, transport.close)
        self._unread = _Timer(self.loop, transport.abort)
        self._is_in_head, self._head_bytes = True, 0
        self._asked.start(self.head_seconds)

    def data_received(self, data: bytes) -> None:
        """Read on; what follows an answer is a new head, however little of it comes."""
        if self._is_in_head and self._is_idle() and not self._asked.runs:
            self._asked.start(self.head_seconds)
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.transport.close()

    def on_headers_complete(self) -> None:
        """Expect the body."""
        self._is_in_head, self._head_bytes = False, 0
        self._asked.start(self.body_seconds)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect nothing until the answer has been sent."""
        self._is_in_head = True
        self._asked.stop()
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Expect the client to read."""
        super().pause_writing()
        self._unread.start(self.unread_seconds)

    def resume_writing(self) -> None:
        """Go on sending."""
        super().resume_writing()
        self._unread.stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._asked.stop()
        self._unread.stop()
        super().connection_lost(exc)

    def _is_idle(self) -> bool:
        cycle = cast("Any", self.cycle)
        return cycle is None or cycle.response_complete


class _Timer:
    """One deadline of a connection."""

    def __init__(self, loop: AbstractEventLoop, expire: Callable[[], None]) -> None:
        self._loop = loop
        self._expire = expire
        self._handle: TimerHandle | None = None
        self._seconds = 0.0

    @property
    def runs(self) -> bool:
        """Whether something is expected."""
        return self._handle is not None

    def start(self, seconds: float) -> None:
        """Expect something within so many seconds from now on."""
        self.stop()
        self._seconds = seconds
        self._handle = self._loop.call_later(seconds, self._look, self._loop.time() + seconds)

    def stop(self) -> None:
        """Expect nothing more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _look(self, due: float) -> None:
        if self._loop.time() > due + _LATE_SECONDS:
            self.start(self._seconds)
        else:
            self.stop()
            self._expire()
