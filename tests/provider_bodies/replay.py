"""A provider that says what real ones say: the bodies, on both wires, with a log of what it was asked."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal, cast

import orjson
from aiohttp import web

from tests.provider_bodies.body import Body, Told, named
from tests.provider_bodies.checks import refused

#: A prompt with such a word has its own count of askings.
_CASE = re.compile(r"case[ -][^\s\"\]]+")
#: Seconds between two events, so that each comes in a packet of its own.
_GAP = 0.002
_MOST_BYTES = 256 * 1024 * 1024

Outcome = Literal["under way", "answered", "failed", "refused", "cut off"]


@dataclass(slots=True)
class Asked:
    """One request. `answered` is one that got an answer to its end, `refused` one that a check has turned down.

    `nth` counts the askings of this step in this conversation; the witness of what was paid twice.
    """

    model: str
    conversation: str
    step: int
    nth: int
    path: str
    body: dict[str, Any]
    outcome: Outcome = "under way"

    @property
    def stream(self) -> bool:
        """Whether a stream was asked for."""
        return bool(self.body.get("stream"))

    def view(self) -> dict[str, Any]:
        """The request as the scripted model shows its own."""
        outcome = "completed" if self.outcome == "answered" else "failed"
        counted: dict[str, Any] = {"round": self.step, "nth": self.nth, "tools": []}
        return {**counted, "body": self.body, "outcome": outcome, "received_at": "", "hash": ""}


@dataclass
class Replay:
    """The running provider; `url` is its root, under which `/v1` stands. `aliases` give bodies further names."""

    url: str = ""
    aliases: dict[str, str] = field(default_factory=dict[str, str])
    log: list[Asked] = field(default_factory=list[Asked])
    _counts: Counter[tuple[str, str, int]] = field(default_factory=Counter[tuple[str, str, int]])

    def asked(self, contains: str = "") -> list[Asked]:
        """The requests whose conversation's name contains the text, in order."""
        return [asked for asked in self.log if contains in asked.conversation]

    def paid_twice(self, contains: str = "") -> list[Asked]:
        """The requests for a step that had been answered to its end before."""
        done: set[tuple[str, str, int]] = set()
        again: list[Asked] = []
        for asked in self.asked(contains):
            place = (asked.model, asked.conversation, asked.step)
            if place in done:
                again.append(asked)
            elif asked.outcome == "answered":
                done.add(place)
        return again

    def app(self) -> web.Application:
        """The application, for a server of one's own."""
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_post("/v1/messages", self._answer)
        app.router.add_get("/requests", self._requests)
        return app

    async def _requests(self, request: web.Request) -> web.Response:
        """The log as the scripted model tells its own."""
        views = [asked.view() for asked in self.asked(request.query.get("contains", ""))]
        return web.json_response({"count": len(views), "requests": views})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        name: str = body["model"]
        try:
            model = named(self.aliases.get(name, name))
        except KeyError:
            error = {"type": "not_found_error", "message": f"There is no model {name!r}."}
            return web.json_response({"type": "error", "error": error}, status=404)
        asked = self._note(model, request.path, body)
        if (refusal := refused(model.check, body)) is not None:
            asked.outcome = "refused"
            return web.json_response(refusal.body, status=refusal.status)
        told = model.told(asked.step, asked.nth)
        asked.outcome = "cut off"
        response = None
        with suppress(ConnectionResetError):
            response = await (_whole(told) if told.events is None else _streamed(request, told, asked))
        if response is not None:
            asked.outcome = "answered" if told.is_answer else "failed"
        return response or web.Response()

    def _note(self, model: Body, path: str, body: dict[str, Any]) -> Asked:
        step = sum(message.get("role") == "assistant" for message in body["messages"])
        conversation = _conversation(body["messages"])
        place = (model.name, conversation, step)
        self._counts[place] += 1
        asked = Asked(model.name, conversation, step, self._counts[place], path, body)
        self.log.append(asked)
        return asked


@asynccontextmanager
async def replaying() -> AsyncGenerator[Replay]:
    """Serve the bodies on a free port of this machine."""
    replay = Replay()
    runner = web.AppRunner(replay.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        replay.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield replay
    finally:
        await runner.cleanup()


def _conversation(messages: list[dict[str, Any]]) -> str:
    """The name that a prompt gives to its conversation, else the first thing that a user says."""
    said = [json.dumps(message.get("content"), ensure_ascii=False) for message in messages if message["role"] == "user"]
    names = (found[0] for text in said if (found := _CASE.search(text)))
    return next(names, said[0] if said else "")


async def _whole(told: Told) -> web.Response:
    headers = {"content-type": told.content_type, **told.headers}
    return web.Response(status=told.status, headers=headers, body=told.body)


async def _streamed(request: web.Request, told: Told, asked: Asked) -> web.StreamResponse | None:
    """Send the events; None if the script has closed the connection."""
    response = web.StreamResponse(status=told.status, headers={"content-type": told.content_type, **told.headers})
    await response.prepare(request)
    for event in told.events or ():
        if isinstance(event, dict) and "$sleep" in event:
            await asyncio.sleep(cast("float", event["$sleep"]))
        elif isinstance(event, dict) and "$close" in event:
            assert request.transport is not None
            request.transport.abort()
            return None
        else:
            for piece in _cut(_written(event, told, asked), told.cut):
                await response.write(piece)
                await asyncio.sleep(0)
            await asyncio.sleep(_GAP)
    with suppress(ConnectionResetError):  # who has read the last event may hang up
        await response.write_eof()
    return response


def _written(event: Any, told: Told, asked: Asked) -> bytes:
    """An event as it goes out; answers have ids of their own, as those of providers do."""
    end = "\r\n" if told.crlf else "\n"
    if isinstance(event, str):
        return event.replace("\n", end).encode()
    name = f"event: {event['type']}{end}" if asked.path.endswith("/messages") and "type" in event else ""
    if event.get("type") == "message_start":
        event = {**event, "message": {**event["message"], "id": _message_id(asked)}}
    return f"{name}data: {json.dumps(event, ensure_ascii=not told.utf8)}{end}{end}".encode()


def _message_id(asked: Asked) -> str:
    place = f"{asked.model}\0{asked.conversation}\0{asked.step}\0{asked.nth}"
    return f"msg_{sha256(place.encode()).hexdigest()[:24]}"


def _cut(data: bytes, size: int) -> Iterator[bytes]:
    size = size or len(data) or 1
    return (data[at : at + size] for at in range(0, len(data), size))
