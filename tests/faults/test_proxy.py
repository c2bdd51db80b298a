"""The proxy does to connections what a test asks for."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from tests.faults.proxy import Mode, TcpProxy


@pytest.fixture
async def proxy() -> AsyncGenerator[tuple[TcpProxy, int]]:
    """A proxy before a server that echoes lines, and its port."""
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    echo_port = server.sockets[0].getsockname()[1]
    proxy = TcpProxy(lambda: echo_port)
    yield proxy, await proxy.start()
    await proxy.close()
    server.close()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()


async def _said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> bytes:
    writer.write(b"hello\n")
    async with asyncio.timeout(seconds):
        return await reader.readline()


async def test_it_passes_what_is_said(proxy: tuple[TcpProxy, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy[1])

    assert await _said(reader, writer, 5) == b"hello\n"
    writer.close()


async def test_a_blackhole_swallows_until_it_passes_again(proxy: tuple[TcpProxy, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy[1])
    await _said(reader, writer, 5)

    proxy[0].set(Mode.BLACKHOLE)
    with pytest.raises(TimeoutError):
        await _said(reader, writer, 0.2)
    proxy[0].set(Mode.PASS)

    async with asyncio.timeout(5):
        assert await reader.readline() == b"hello\n"
    writer.close()


async def test_a_reset_ends_open_and_new_connections(proxy: tuple[TcpProxy, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy[1])
    await _said(reader, writer, 5)

    proxy[0].set(Mode.RESET)
    with pytest.raises(ConnectionResetError):
        await _said(reader, writer, 5)
    late_reader, late_writer = await asyncio.open_connection("127.0.0.1", proxy[1])

    with pytest.raises(ConnectionResetError):
        await _said(late_reader, late_writer, 5)
    for each in (writer, late_writer):
        each.transport.abort()


async def test_a_delay_holds_each_piece_back(proxy: tuple[TcpProxy, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy[1])
    proxy[0].set(Mode.DELAY, 0.1)
    began = asyncio.get_running_loop().time()

    assert await _said(reader, writer, 5) == b"hello\n"

    assert asyncio.get_running_loop().time() - began >= 0.2
    writer.close()
