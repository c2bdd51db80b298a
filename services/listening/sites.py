"""Our small HTTP servers, on aiohttp, with the deadlines of all our servers."""

import asyncio
from typing import Any

from aiohttp import web

from services.listening.deadlines import BODY_SECONDS, HEAD_SECONDS


class BodyLate(web.HTTPRequestTimeout):
    """The body of a request did not come in time; the connection is of no more use."""

    def __init__(self) -> None:
        super().__init__(text=f"The body did not arrive within {BODY_SECONDS:.0f} seconds.\n")
        self.force_close()


def runner(app: web.Application, *, idle_seconds: float = HEAD_SECONDS, **options: Any) -> web.AppRunner:
    """Serves an application; a head has so many seconds, from the connection or from the last answer on."""
    return web.AppRunner(app, access_log=None, keepalive_timeout=idle_seconds, **options)


async def whole_body(request: web.Request, *, seconds: float = BODY_SECONDS) -> bytes:
    """The body of a request.

    Raises:
        BodyLate: it did not come in time.
    """
    try:
        async with asyncio.timeout(seconds):
            return await request.read()
    except TimeoutError:
        raise BodyLate from None
