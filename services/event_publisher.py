"""A running attempt's way into the event log: the first token at once, later ones in batches."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from runtimes.errors import AttemptFenced, RuntimeFailure
from services.control_plane_client.models import AppendEvents, ApprovalRequest, CloseAttempt, Delta, NewEvent, Step
from services.storable import storable, storable_value

#: What comes within this time of the first piece goes with it: a turn that is over by then needs one call.
COALESCE_SECONDS = 0.001
#: Events that end no message.
_INSIDE = {"journal.diverged"}


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


@dataclass(slots=True)
class Batch:
    """What goes with the next append, and who waits for it."""

    events: list[NewEvent] = field(default_factory=list[NewEvent])
    steps: list[Step] = field(default_factory=list[Step])
    asked: list[ApprovalRequest] = field(default_factory=list[ApprovalRequest])
    used: list[UUID] = field(default_factory=list[UUID])
    waiting: "list[asyncio.Future[None]]" = field(default_factory=list["asyncio.Future[None]"])

    def settle(self, failure: RuntimeFailure | None = None) -> None:
        """Tell who waits; those that were cancelled meanwhile wait no more."""
        for future in self.waiting:
            if not future.done():
                future.set_result(None) if failure is None else future.set_exception(failure)


class EventPublisher:
    """Orders events, steps and text, and sends them batch by batch from a task of its own.

    `interval` is the least time between two batches, in seconds, unless somebody waits for one. `told` are the
    messages of the turn that earlier attempts have told: told again they are nothing new. `last_text` is the latest
    message that is complete.
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
        told: Sequence[str] = (),
    ) -> None:
        self._log = log
        self._organization_id = organization_id
        self._execution_id = execution_id
        self._attempt = attempt
        self._interval = interval
        self._failed = failed
        self._told = told
        self._number = 0
        self._next = Batch()
        self._message = OpenMessage(0)
        self.last_text = told[-1] if told else ""
        self._failure: RuntimeFailure | None = None
        self._is_closed = False
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._sender = asyncio.create_task(self._send_batches())

    def event(self, kind: str, data: Mapping[str, Any]) -> None:
        """Add an event; the open message is completed before it."""
        self.complete_message()
        self._next.events.append(NewEvent(type=kind, data=storable_value(dict(data))))
        self._wake.set()

    def text(self, text: str) -> None:
        """Add text to the open message."""
        self._message.text += storable(text)
        if not self._is_told():
            self._wake.set()

    def resume(self) -> None:
        """What comes now follows the messages that were told."""
        self._message = OpenMessage(len(self._told))

    def complete_message(self, text: str = "") -> None:
        """Close the open message; `text` stands in where nothing was streamed."""
        message = self._message
        whole = message.text or storable(text)
        if not whole:
            return
        self.last_text = whole
        if not (self._is_told() and self._told[message.number].startswith(whole)):
            data = {"message": message.number, "text": whole}
            self._next.events.append(NewEvent(type="message.completed", data=data))
        self._message = OpenMessage(message.number + 1)

    async def write(
        self,
        step: Step,
        events: Sequence[NewEvent] = (),
        *,
        used: Sequence[UUID] = (),
    ) -> None:
        """Store a step with its events; see `services.journal.StepWriter`.

        Once this is called the step is sent, whoever stops waiting for it; one that comes after the close is refused.
        """
        self._check_open()
        if any(event.type not in _INSIDE for event in events):
            self.complete_message()
        self._next.steps.append(step)
        self._next.events += [NewEvent(type=event.type, data=storable_value(dict(event.data))) for event in events]
        self._next.used += used
        await self._stored()

    async def ask(self, request: ApprovalRequest, event: NewEvent) -> None:
        """Store a question with its event."""
        self._check_open()
        self.complete_message()
        self._next.asked.append(request)
        self._next.events.append(NewEvent(type=event.type, data=storable_value(dict(event.data))))
        await self._stored()

    async def close(self, request: Callable[[int, list[NewEvent]], CloseAttempt]) -> CloseAttempt:
        """Stop sending and give the closing request what is left; nothing comes after it."""
        await self.stop()
        self._is_closed = True
        self._number += 1
        return request(self._number, self._next.events)

    async def stop(self) -> None:
        """Stop sending; what is under way is finished first, and no step is left behind."""
        self._sender.cancel()
        with suppress(asyncio.CancelledError):
            await self._sender
        with suppress(RuntimeFailure):
            while self._next.steps:
                await self._send()

    def _check_open(self) -> None:
        if self._is_closed:
            raise AttemptFenced("The attempt is closed.")

    def _is_told(self) -> bool:
        return self._message.number < len(self._told)

    async def _stored(self) -> None:
        if self._failure is not None:
            raise self._failure
        stored = asyncio.get_running_loop().create_future()
        self._next.waiting.append(stored)
        self._urgent.set()
        self._wake.set()
        await stored

    async def _send_batches(self) -> None:
        while True:
            await self._wake.wait()
            if not self._urgent.is_set():
                await asyncio.sleep(COALESCE_SECONDS)
            self._wake.clear()
            self._urgent.clear()
            sending = asyncio.ensure_future(self._send())
            try:
                await asyncio.shield(sending)
            except asyncio.CancelledError:
                await asyncio.wait({sending})
                raise
            except RuntimeFailure as failure:
                self._failure = failure
                self._next.settle(failure)
                self._failed(failure)
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), self._interval)

    async def _send(self) -> None:
        batch, self._next = self._next, Batch()
        delta = None if self._is_told() else self._message.take()
        if not batch.events and not batch.steps and not batch.asked and delta is None:
            return
        self._number += 1
        request = AppendEvents(
            organization_id=self._organization_id,
            batch=self._number,
            events=batch.events,
            delta=delta,
            steps=batch.steps,
            asked=batch.asked,
            used=batch.used,
        )
        try:
            await self._log.append(self._execution_id, self._attempt, request)
        except RuntimeFailure as failure:
            batch.settle(failure)
            raise
        batch.settle()
