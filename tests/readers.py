"""Readers of an execution's stream, which put together what they are sent."""

import asyncio
import random
from dataclasses import dataclass, field

import httpx
from httpx_sse import SSEError, aconnect_sse

from tests.stack import TERMINAL, Event


class StoryBroken(Exception):
    """A reader was sent what does not fit what it was sent before."""


class Reader:
    """Puts together what it is sent, over as many connections as it takes."""

    def __init__(self, execution: str) -> None:
        self._url = f"/api/v1/executions/{execution}/events"
        self.position = ""
        self.events: list[Event] = []
        self.text = ""
        self.ended = False
        self._open = ""

    @property
    def seqs(self) -> list[int]:
        """The numbers of the events that it has."""
        return [event["seq"] for event in self.events]

    async def read(self, client: httpx.AsyncClient, most: int) -> None:
        """Read up to `most` events and drop the connection.

        Raises:
            StoryBroken: a piece is missing or comes twice.
        """
        headers = {"Last-Event-ID": self.position} if self.position else {}
        async with aconnect_sse(client, "GET", self._url, headers=headers) as source:
            async for event in source.aiter_sse():
                if not event.data:
                    continue
                self._take(event.id, event.json())
                most -= 1
                if most == 0 or self.ended:
                    return

    def _take(self, position: str, event: Event) -> None:
        self.position = position
        if event["type"] == "message.delta":
            self._require(event["data"]["offset"] == len(self._open), event)
            self._open += event["data"]["text"]
            return
        self.events.append(event)
        self.ended = event["type"].removeprefix("execution.") in TERMINAL
        if event["type"] == "attempt.started":
            self._open = ""
        if event["type"] == "message.completed":
            self._require(self._open in ("", event["data"]["text"]), event)
            self.text += event["data"]["text"]
            self._open = ""

    def _require(self, fits: bool, event: Event) -> None:
        if not fits:
            raise StoryBroken(f"after {self.position} with {self._open!r} open came {event}")


@dataclass
class Follower:
    """A reader at work; with `cuts` it drops its connection every few events."""

    reader: Reader
    client: httpx.AsyncClient
    cuts: bool = False
    task: "asyncio.Task[None]" = field(init=False)

    def __post_init__(self) -> None:
        self.task = asyncio.create_task(self._follow())

    def complaint(self) -> str:
        """Why it has not read to the end; empty if it has."""
        if not self.task.done():
            return f"a reader is still at {self.reader.position}"
        error = self.task.exception()
        return f"a reader gave up: {error!r}" if error else ""

    async def _follow(self) -> None:
        while not self.reader.ended:
            try:
                await self.reader.read(self.client, random.randint(1, 12) if self.cuts else 1_000_000)
            except (httpx.TransportError, SSEError):
                # Whoever cannot serve a stream now says so in an answer that is no stream.
                await asyncio.sleep(0.2)
