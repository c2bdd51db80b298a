"""The scripted model as a process of its own, for as long as somebody needs it."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from socket import create_server, socket
from typing import Literal

import httpx
import uvloop

from services.scripted_model.server import make_server

_CODE = "from services.scripted_model.process import main; main()"
START_SECONDS = 30


@asynccontextmanager
async def scripted_model(*options: Literal["--reword"]) -> AsyncGenerator[httpx.AsyncClient]:
    """Start it on a free port of this machine; gives a client with its address. It ends with its parent."""
    with create_server(("127.0.0.1", 0)) as listening:
        number, port = listening.fileno(), listening.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _CODE, str(number), *options, pass_fds=[number], stdin=asyncio.subprocess.PIPE
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=START_SECONDS) as client:
            (await client.get("/health")).raise_for_status()
            yield client
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def main() -> None:
    """Serve on the socket whose number is the argument, until the standard input ends."""
    number, *options = sys.argv[1:]
    uvloop.run(_serve(socket(fileno=int(number)), rewords="--reword" in options))


async def _serve(listening: socket, *, rewords: bool) -> None:
    server = make_server(rewords=rewords)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    ending = asyncio.create_task(_end_of_input())
    await asyncio.wait({serving, ending}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await serving


async def _end_of_input() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
