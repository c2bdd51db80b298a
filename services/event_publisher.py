"""A running attempt's way into the event log: the first token at once, later ones in batches."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from runtimes.errors import RuntimeFailure
from services.control_plane_client.models import AppendEvents, CloseAttempt, Delta, NewEvent

#: What comes within this time of the first piece goes with it: a turn that is over by then needs one call.
COALESCE_SECONDS = 0.001


class EventLog(Protocol):
    """Where events go; calls are idempotent by their batch number."""

    async def append(self, execution_id: str, attempt: int, request: AppendEvents) -> None: ...


class OpenMessage:
    """The text of the assistant's message that is being written."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.text = ""
        self._sent = 0

    def take(self) -> Delta | None:
        """What was not sent yet."""
        if self._sent == len(self.text):
            return None
        delta = Delta(message=self.number, offset=self._sent, text=self.text[self._sent :])
        self._sent = len(self.text)
        return delta


class EventPublisher:
    """Orders events and text, and sends them batch by batch from a task of its own.

    `interval` is the least time between two batches, in seconds.
    """

    def __init__(
        self,
        log: EventLog,
        *,
        organization_id: str,
        execution_id: str,
        attempt: int,
        interval: float,
        failed: Callable[[RuntimeFailure], None],
    ) -> None:
        self._log = log
        self._organization_id = organization_id
        self._execution_id = execution_id
        self._attempt = attempt
        self._interval = interval
        self._failed = failed
        self._batch = 0
        self._events: list[NewEvent] = []
        self._message = OpenMessage(0)
        self._wake = asyncio.Event()
        self._sender = asyncio.create_task(self._send_batches())

    def event(self, kind: str, data: Mapping[str, Any]) -> None:
        """Add an event; the open message is completed before it."""
        self.complete_message()
        self._events.append(NewEvent(type=kind, data=_storable_data(data)))
        self._wake.set()

    def text(self, text: str) -> None:
        """Add text to the open message."""
        self._message.text += storable(text)
        self._wake.set()

    def complete_message(self, text: str = "") -> None:
        """Close the open message; `text` stands in where nothing was streamed."""
        message = self._message
        whole = message.text or storable(text)
        if whole:
            self._events.append(
                NewEvent(type="message.completed", data={"message": message.number, "text": whole}),
            )
            self._message = OpenMessage(message.number + 1)

    async def close(self, request: Callable[[int, list[NewEvent]], CloseAttempt]) -> CloseAttempt:
        """Stop sending and give the closing request what is left."""
        await self.stop()
        self._batch += 1
        return request(self._batch, self._events)

    async def stop(self) -> None:
        """Stop sending; what is under way is finished first."""
        self._sender.cancel()
        with suppress(asyncio.CancelledError):
            await self._sender

    async def _send_batches(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(COALESCE_SECONDS)
            self._wake.clear()
            sending = asyncio.ensure_future(self._send())
            try:
                await asyncio.shield(sending)
            except asyncio.CancelledError:
                await sending
                raise
            except RuntimeFailure as failure:
                self._failed(failure)
                return
            await asyncio.sleep(self._interval)

    async def _send(self) -> None:
        events, self._events = self._events, []
        delta = self._message.take()
        if not events and delta is None:
            return
        self._batch += 1
        await self._log.append(
            self._execution_id,
            self._attempt,
            AppendEvents(organization_id=self._organization_id, batch=self._batch, events=events, delta=delta),
        )


def storable(text: str) -> str:
    """PostgreSQL stores neither NUL nor lone surrogates: both become U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _storable_data(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: storable(value) if isinstance(value, str) else value for name, value in data.items()}
