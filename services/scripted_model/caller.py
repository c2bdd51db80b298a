"""The caller's end of the connection."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from services.scripted_model.errors import CallerGoneError
from services.scripted_model.request_log import LoggedRequest

#: An ASGI extension of our server: its `close` closes the TCP connection.
CLOSE_EXTENSION = "holdfast.close"


class Caller:
    """Sends a response piece by piece; every wait ends with CallerGoneError when the caller goes away."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self.has_heard = False

    @property
    def path(self) -> str:
        return str(self._scope["path"])

    async def body(self) -> bytes:
        try:
            return await Request(self._scope, self._receive).body()
        except ClientDisconnect as error:
            raise CallerGoneError from error

    async def start(self, log: LoggedRequest, status: int, headers: Mapping[str, str]) -> None:
        self.has_heard = True
        log.responding(status)
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes, *, end: bool = False) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": not end})

    async def pause(self, seconds: float | None) -> None:
        """Wait so many seconds (None: for ever) while listening for the caller to go away."""
        try:
            async with asyncio.timeout(seconds):
                await self._gone()
        except TimeoutError:
            return
        raise CallerGoneError

    async def drop(self) -> None:
        """Close the connection. Under a server without our extension the request crashes, with the same effect."""
        extensions: dict[str, Any] = self._scope.get("extensions") or {}
        extension: dict[str, Callable[[], None]] | None = extensions.get(CLOSE_EXTENSION)
        if extension is None:
            raise ConnectionAbortedError("The script drops the connection.")
        extension["close"]()
        await self._gone()
        raise CallerGoneError

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
