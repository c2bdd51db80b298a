"""The socket of the CLI, which the commands of its agent reach too."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from runtimes.claude_code_relay import ModelRelay
from runtimes.types import ModelEndpoint, Wire

SECONDS = 0.5


async def _told(body: dict[str, Any]) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" if body else b""


@pytest.fixture
async def socket(tmp_path: Path) -> AsyncGenerator[Path]:
    endpoint = ModelEndpoint("http://127.0.0.1:9", "key", Wire.ANTHROPIC, "m", "p")
    relay = ModelRelay(endpoint, _told, lambda status: None, seconds=SECONDS)
    async with relay.serving(tmp_path / "socket"):
        yield tmp_path / "socket"


async def answer(socket: Path, *pieces: bytes) -> bytes:
    """Read the answer until the connection is closed."""
    reader, writer = await asyncio.open_unix_connection(socket)
    for piece in pieces:
        writer.write(piece)
    try:
        async with asyncio.timeout(SECONDS * 6):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b"POST / HTTP/1.1\r\nX: "],
        [b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n", b"{"],
        [b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"{"],
        [b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"{"],
        [b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n", b"{"],
        [b"POST / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n", b"[" * 200_000],
    ],
    ids=["silence", "half a head", "half a body", "a huge body", "less than nothing", "no number", "nested lists"],
)
async def test_what_is_no_request_holds_no_connection(socket: Path, pieces: list[bytes]) -> None:
    assert await answer(socket, *pieces) == b""


async def test_connections_at_once_are_bounded(socket: Path) -> None:
    async with AsyncExitStack() as opened, asyncio.timeout(SECONDS * 6):
        for _ in range(32):
            _, writer = await asyncio.open_unix_connection(socket)
            opened.callback(writer.close)
        await asyncio.sleep(SECONDS / 5)
        began = asyncio.get_running_loop().time()

        assert await answer(socket, b"POST") == b""
        assert asyncio.get_running_loop().time() - began < SECONDS / 2
        await asyncio.sleep(SECONDS)
        assert await answer(socket, b'POST / HTTP/1.1\r\nContent-Length: 8\r\n\r\n{"a": 1}') != b""
