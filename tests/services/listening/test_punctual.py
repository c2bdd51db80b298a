"""Clients that are late lose their connection; those that are not notice nothing."""

import asyncio
import time
from collections.abc import AsyncGenerator

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send
from uvicorn import Config, Server

from services.listening.deadlines import HEAD_BYTES
from services.listening.punctual import PunctualProtocol
from tests.services.listening.clients import REQUEST, connected, seconds_until_closed
from tests.stack import free_port

HEAD, BODY, IDLE = 0.6, 1.0, 3


class Hasty(PunctualProtocol):
    head_seconds = HEAD
    body_seconds = BODY
    unread_seconds = HEAD


class App:
    """Reads whatever is sent; `/stream` says more than a client takes at once."""

    def __init__(self) -> None:
        self.waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.waiting += 1
        try:
            await self._answer(request)(scope, receive, send) if scope["method"] == "GET" else await self._read(request)
        except ClientDisconnect:
            return
        finally:
            self.waiting -= 1
        if scope["method"] != "GET":
            await PlainTextResponse("read")(scope, receive, send)

    async def _read(self, request: Request) -> None:
        await request.body()

    def _answer(self, request: Request) -> StreamingResponse | PlainTextResponse:
        if request.url.path == "/slow":
            return StreamingResponse(self._slowly())
        if request.url.path == "/stream":
            return StreamingResponse(self._much())
        return PlainTextResponse("ok")

    async def _slowly(self) -> AsyncGenerator[bytes]:
        for _ in range(4):
            await asyncio.sleep(HEAD)
            yield b"x"

    async def _much(self) -> AsyncGenerator[bytes]:
        while True:
            await asyncio.sleep(0)
            yield b"x" * 2**20


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
async def port(app: App) -> AsyncGenerator[int]:
    port = free_port()
    options = {"lifespan": "off", "log_config": None, "access_log": False, "ws": "none"}
    server = Server(Config(app, port=port, http=Hasty, timeout_keep_alive=IDLE, **options))  # type: ignore[arg-type]
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield port
    server.should_exit = True
    await serving


@pytest.mark.parametrize(
    ("first", "drop"),
    [(b"", b""), (b"GET /", b"x"), (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"x"), (b"\r\n", b"\r\n")],
    ids=["silence", "a dripping path", "a dripping header", "empty lines"],
)
async def test_a_head_has_its_time(port: int, first: bytes, drop: bytes) -> None:
    assert HEAD * 0.9 < await seconds_until_closed(port, first, drop) < HEAD * 3


@pytest.mark.parametrize("length", [b"Content-Length: 99999", b"Transfer-Encoding: chunked"])
async def test_a_body_that_never_ends_holds_no_handler(port: int, app: App, length: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\n" + length + b"\r\n\r\n"
    drop = b"x" if b"Content" in length else b"1\r\nx\r\n"

    assert BODY * 0.9 < await seconds_until_closed(port, head, drop) < BODY * 3
    assert app.waiting == 0


async def test_the_next_head_on_a_connection_has_its_time_too(port: int) -> None:
    assert HEAD * 0.9 < await seconds_until_closed(port, REQUEST + b"GET /", b"x") < HEAD * 3


async def test_a_body_that_no_handler_reads_keeps_no_connection(port: int) -> None:
    first = b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n"

    assert await seconds_until_closed(port, first, b"x") < BODY * 3


async def test_an_idle_connection_is_kept_for_longer(port: int) -> None:
    async with connected(port) as (reader, writer):
        for _ in range(2):
            writer.write(REQUEST)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(2 * HEAD)


async def test_an_answer_may_take_as_long_as_it_does(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

        assert (await reader.read()).count(b"x\r\n") == 4


async def test_a_client_that_reads_nothing_holds_no_handler(port: int, app: App) -> None:
    async with connected(port) as (_, writer):
        writer.write(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(HEAD * 5):
            while not app.waiting:
                await asyncio.sleep(0.01)
            while app.waiting:
                await asyncio.sleep(0.01)


async def test_a_head_has_its_size(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (2 * HEAD_BYTES))
        assert await asyncio.wait_for(closed(reader), HEAD)


async def closed(reader: asyncio.StreamReader) -> bool:
    """Whether the connection ended."""
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def test_a_loop_that_was_busy_blames_no_client(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n")
        await asyncio.sleep(HEAD / 2)
        time.sleep(HEAD + 1.5)  # noqa: ASYNC251
        await asyncio.sleep(0)
        writer.write(b"Host: localhost\r\n\r\n")

        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
