"""A TCP proxy on loopback whose connections a test may break: what partitions and slow networks are made of."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum


class Mode(StrEnum):
    """`blackhole` takes connections and bytes and lets nothing out until it passes again; `reset` ends each."""

    PASS = "pass"
    BLACKHOLE = "blackhole"
    RESET = "reset"
    DELAY = "delay"


class TcpProxy:
    """Forwards connections to a port; `target` is asked for each. `seconds` is what `delay` holds each piece back."""

    def __init__(self, target: Callable[[], int]) -> None:
        self._target = target
        self._mode = Mode.PASS
        self._seconds = 0.0
        self._passable = asyncio.Event()
        self._passable.set()
        self._connections: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; gives the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Listen no more and end what is open."""
        assert self._server is not None
        self._server.close()
        self._cut()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def set(self, mode: Mode, seconds: float = 0.0) -> None:
        """Treat all connections in a way from now on, open ones too."""
        self._mode, self._seconds = mode, seconds
        if mode is Mode.BLACKHOLE:
            self._passable.clear()
        else:
            self._passable.set()
        if mode is Mode.RESET:
            self._cut()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._passage()
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._target())
        except OSError:
            _reset(writer)
            return
        finally:
            self._writers.discard(writer)
        await self._join((reader, writer), (upstream_reader, upstream_writer))

    async def _join(
        self,
        caller: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        called: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        writers = {caller[1], called[1]}
        self._writers |= writers
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(caller[0], called[1]))
                both.create_task(self._pump(called[0], caller[1]))
        finally:
            self._writers -= writers
            for writer in writers:
                writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(65536):
                await self._passage()
                writer.write(piece)
                await writer.drain()
            await self._passage()
        # A blackhole hides the end of a connection as it hides its bytes.
        writer.close()

    async def _passage(self) -> None:
        await self._passable.wait()
        if self._mode is Mode.RESET:
            raise ConnectionResetError
        if self._mode is Mode.DELAY:
            await asyncio.sleep(self._seconds)

    def _cut(self) -> None:
        for writer in list(self._writers):
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST, as a router or a dead host does."""
    connection = writer.get_extra_info("socket")
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
