"""Passes a provider's stream on to the framework, all but its end."""

from collections.abc import Callable, Collection
from time import perf_counter
from typing import Any

from runtimes.errors import ModelAnswerInvalid, ModelConnectionBroken, ModelFailure, ModelTimeout
from runtimes.types import ModelEndpoint
from services.model_gateway.door import Door
from services.model_gateway.errors import ModelAnswerTooLarge, ModelSilent, failure, of_body
from services.model_gateway.provider import ProviderAnswer
from services.model_gateway.reply import Reply
from services.model_gateway.sse import DONE, Event
from services.model_gateway.wires.wire import Part, Recording, kind_of

#: What may follow a complete answer, usage and the end's mark, has so many seconds.
AFTERMATH_SECONDS = 5.0
#: Events of one record; pieces of a text that were joined are one.
_MOST_EVENTS = 200_000


class Relay:
    """One stream; `kept` is what the framework has not got yet when it has ended.

    What opens an answer waits for its content: as long as nothing was passed on, the call can be made again.
    """

    def __init__(
        self,
        recording: Recording,
        door: Door,
        reply: Reply,
        endpoint: ModelEndpoint,
        on_activity: Callable[[], None],
        before: bytes = b"",
    ) -> None:
        self.recording = recording
        self.first_token_at: float | None = None
        self.door = door
        self._reply = reply
        self._endpoint = endpoint
        self._on_activity = on_activity
        self._opening = [before] if before else []
        self._ending: list[Event] = []
        self._mark: list[bytes] = []

    @property
    def kept(self) -> bytes:
        """What is passed on after the commit."""
        ending = (event.raw for event in self._ending)
        return b"".join((*self._opening, *ending, *(self._mark or [self.door.mender.mark])))

    def kept_but(self, ends: Collection[str]) -> bytes:
        """The same without the events of the end: the answer goes on."""
        ending = (event.raw for event in self._ending if kind_of(event.data) not in ends)
        return b"".join((*self._opening, *ending))

    async def run(self, answer: ProviderAnswer) -> None:
        """Pass on what comes until the answer is complete.

        Raises:
            ModelFailure: it does not become complete.
        """
        try:
            async for events in answer.events():
                await self._pass(events)
                if self.recording.is_over:
                    break
                if self._is_complete:
                    answer.idle = min(answer.idle, AFTERMATH_SECONDS)
        except (ModelTimeout, ModelConnectionBroken):
            if not self._is_complete:
                raise
        for event in self.door.rest(is_told=bool(self._mark)):
            self._keep(event)
        if not self._is_complete:
            raise self._unfinished()

    @property
    def _is_complete(self) -> bool:
        return self.recording.is_complete or self.door.mender.is_complete

    async def _pass(self, events: list[Event]) -> None:
        self._on_activity()
        passing: list[bytes] = []
        for event in events:
            self._refuse(event.data)
            for told in (entered := self.door.enter(event)):
                self._sort(told, passing)
            if len(self.recording.events) > _MOST_EVENTS:
                raise failure(ModelAnswerTooLarge, f"it has more than {_MOST_EVENTS} events", self._endpoint)
            if not entered and self.first_token_at is None:
                self.first_token_at = perf_counter()
        if passing:
            await self._reply.write(b"".join(passing))

    def _sort(self, event: Event, passing: list[bytes]) -> None:
        if event.data is DONE:
            self.recording.is_over = True
            self._mark.append(event.raw)
            return
        part = self._part(event.data)
        if part is Part.DROPPED:
            return
        if self._ending or part is Part.ENDING:
            self._ending.append(event)
        elif part is Part.CONTENT:
            passing += (*self._opening, event.raw)
            self._opening.clear()
        else:
            (passing if self._reply.has_begun or passing else self._opening).append(event.raw)

    def _keep(self, event: Event) -> None:
        """Record an event of the end."""
        if self._part(event.data) is not Part.DROPPED:
            self._ending.append(event)

    def _refuse(self, data: Any) -> None:
        """Raise if an event is an error, or nothing that an answer has."""
        if data is DONE:
            return
        if not isinstance(data, dict):
            raise failure(ModelAnswerInvalid, f"an event without an object: {str(data)[:200]}", self._endpoint)
        if (told := self.recording.error(data)) is not None:  # pyright: ignore[reportUnknownArgumentType]
            raise of_body(told, self._endpoint)

    def _part(self, data: dict[str, Any]) -> Part:
        part = self.recording.add(data)
        if part is not Part.OPENING and self.first_token_at is None:
            self.first_token_at = perf_counter()
        return part

    def _unfinished(self) -> ModelFailure:
        """An answer that was begun broke off, one that has an end only is empty; else there is perhaps no model."""
        if self._mark and self.first_token_at is None:
            return failure(ModelSilent, "its stream is empty", self._endpoint)
        kind = ModelConnectionBroken if self.first_token_at is not None else ModelAnswerInvalid
        return failure(kind, "the stream ended before the answer did", self._endpoint)
