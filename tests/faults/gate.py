"""Between a worker and the API: sees each call of the worker API, and lets a test strike at an exact moment of it."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

import aiohttp
import orjson
from aiohttp import web

#: Not passed on: they belong to one connection.
HOP_HEADERS = {"host", "connection", "content-length", "transfer-encoding", "keep-alive"}
_ATTEMPT = re.compile(r"/internal/v1/executions/(?P<execution>[^/]+)/attempts(?:/(?P<attempt>\d+)/(?P<verb>\w+))?")


class Moment(StrEnum):
    """Of a call: it has come and the API knows nothing of it; or it was answered and the worker does not know."""

    ASKED = "asked"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the worker API on its way; `verb` is `open`, `events`, `close`, or the path for all others.

    Its `body` is empty where it is no object: of those, tests want to know nothing.
    """

    worker: str
    verb: str
    execution: str = ""
    attempt: int = 0
    body: dict[str, Any] = field(default_factory=dict[str, Any])
    at: float = field(default_factory=time.monotonic)

    @property
    def text(self) -> str:
        """The piece of text that it appends."""
        delta: dict[str, Any] = self.body.get("delta") or {}
        return str(delta.get("text", ""))

    def steps(self, kind: str, status: str) -> Iterator[dict[str, Any]]:
        """The journal's steps of a kind that it writes with a status."""
        for step in self.body.get("steps", ()):
            if (step["kind"], step["status"]) == (kind, status):
                yield step

    def events(self, kind: str) -> Iterator[dict[str, Any]]:
        """The events of a type that it appends."""
        return (event for event in self.body.get("events", ()) if event["type"] == kind)


@dataclass(frozen=True, slots=True, eq=False)
class Trap:
    """Waits for one call; `act` is what happens then, and says whether the call goes on. It springs once."""

    moment: Moment
    matches: Callable[[Call], bool]
    act: Callable[[Call], Awaitable[bool]]


class Gate:
    """Passes on the calls of one worker, except those that traps keep; remembers all calls about attempts."""

    def __init__(self, worker: str, target: Callable[[], str], traps: list[Trap], seen: list[Call]) -> None:
        self._worker = worker
        self._target = target
        self._traps = traps
        self._seen = seen
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen; gives the port."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        app.cleanup_ctx.append(self._client)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self._runner.addresses[0][1]

    async def close(self) -> None:
        """Listen no more."""
        assert self._runner is not None
        await self._runner.cleanup()

    async def _client(self, _: web.Application) -> AsyncGenerator[None]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector, auto_decompress=False) as client:
            self._http = client
            yield

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        call = self._read(request, body)
        if call.execution:
            self._seen.append(call)
        if await self._trapped(Moment.ASKED, call):
            return _cut(request)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_HEADERS}
        url = f"{self._target()}{request.raw_path}"
        try:
            async with self._http.request(request.method, url, data=body or None, headers=headers) as answer:
                return await self._answer(request, call, answer)
        except aiohttp.ClientError:
            return _cut(request)

    async def _answer(self, request: web.Request, call: Call, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_HEADERS}
        if answer.content_type != "text/event-stream":
            content = await answer.read()
            if await self._trapped(Moment.ANSWERED, call):
                return _cut(request)
            return web.Response(status=answer.status, headers=headers, body=content)
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        return response

    async def _trapped(self, moment: Moment, call: Call) -> bool:
        for trap in list(self._traps):
            if trap.moment is moment and call.execution and trap.matches(call):
                self._traps.remove(trap)
                return not await trap.act(call)
        return False

    def _read(self, request: web.Request, body: bytes) -> Call:
        found = _ATTEMPT.fullmatch(request.path)
        if found is None:
            return Call(self._worker, request.path)
        verb, attempt = found["verb"] or "open", int(found["attempt"] or 0)
        return Call(self._worker, verb, found["execution"], attempt, _object(orjson.loads(body)))


def _object(content: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}


def _cut(request: web.Request) -> web.StreamResponse:
    """No answer: the connection ends."""
    if request.transport is not None:
        request.transport.abort()
    raise asyncio.CancelledError
