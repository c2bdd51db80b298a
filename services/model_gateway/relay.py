"""Passes a provider's stream on to the framework, all but its end."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

from runtimes.errors import ModelAnswerInvalid, ModelConnectionBroken, ModelTimeout
from runtimes.types import ModelEndpoint
from services.model_gateway.errors import failure, of_body
from services.model_gateway.provider import ProviderAnswer
from services.model_gateway.reply import Reply
from services.model_gateway.sse import Event
from services.model_gateway.wires.wire import Part, Recording

#: What may follow a complete answer, usage and the end's mark, has so many seconds.
AFTERMATH_SECONDS = 2.0


class Relay:
    """One stream; `kept` is what the framework has not got yet when it has ended.

    What opens an answer waits for its content: as long as nothing was passed on, the call can be made again.
    """

    def __init__(
        self, recording: Recording, reply: Reply, endpoint: ModelEndpoint, on_activity: Callable[[], None]
    ) -> None:
        self.recording = recording
        self.first_token_at: float | None = None
        self._reply = reply
        self._endpoint = endpoint
        self._on_activity = on_activity
        self._opening: list[bytes] = []
        self._ending: list[bytes] = []

    @property
    def kept(self) -> bytes:
        """What is passed on after the commit."""
        return b"".join((*self._opening, *self._ending))

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
                if self.recording.is_complete:
                    answer.idle = min(answer.idle, AFTERMATH_SECONDS)
        except (ModelTimeout, ModelConnectionBroken):
            if not self.recording.is_complete:
                raise
        if not self.recording.is_complete:
            raise failure(ModelAnswerInvalid, "the stream ended before the answer did", self._endpoint)

    async def _pass(self, events: list[Event]) -> None:
        self._on_activity()
        passing: list[bytes] = []
        for event in events:
            self._sort(event, passing)
        if passing:
            await self._reply.write(b"".join(passing))

    def _sort(self, event: Event, passing: list[bytes]) -> None:
        part = self._part(event.data)
        if part is Part.DROPPED:
            return
        if self._ending or part is Part.ENDING:
            self._ending.append(event.raw)
        elif part is Part.CONTENT:
            passing += (*self._opening, event.raw)
            self._opening.clear()
        else:
            (passing if self._reply.has_begun or passing else self._opening).append(event.raw)

    def _part(self, data: Any) -> Part:
        if data is None:
            self.recording.is_over = True
            return Part.ENDING
        if not isinstance(data, dict):
            raise failure(ModelAnswerInvalid, f"an event without an object: {str(data)[:200]}", self._endpoint)
        if (told := self.recording.error(data)) is not None:  # pyright: ignore[reportUnknownArgumentType]
            raise of_body(told, self._endpoint)
        part = self.recording.add(data)  # pyright: ignore[reportUnknownArgumentType]
        if part is not Part.OPENING and self.first_token_at is None:
            self.first_token_at = perf_counter()
        return part
