"""Reads request bodies once, within limits, and refuses what is no JSON that the API can take."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_plane.api.json_text import check_json_object
from control_plane.errors import BodyTimeout, BodyTooLarge, ContentTypeUnsupported

PUBLIC = "/api/v1"

#: Seconds that a client may take for a whole body.
BODY_TIMEOUT = 30.0

BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class BodyGuard:
    """Holds every body to the size limit, and those of the public API to strict JSON."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in BODILESS:
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if b"content-length" not in headers and b"transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        self._check_length(headers.get(b"content-length"))
        body = await self._read(receive)
        if body is None:
            return
        if body and scope["path"].startswith(PUBLIC):
            _check_type(headers)
            check_json_object(body)
        await self._app(scope, _Replay(body, receive), send)

    def _check_length(self, length: bytes | None) -> None:
        if length is not None and length.isdigit() and int(length) > self._max_bytes:
            raise self._too_large()

    async def _read(self, receive: Receive) -> bytes | None:
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                return await self._collect(receive)
        except TimeoutError:
            raise BodyTimeout(f"The body did not arrive within {BODY_TIMEOUT:.0f} seconds.") from None

    async def _collect(self, receive: Receive) -> bytes | None:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._max_bytes:
                raise self._too_large()
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The body is larger than {self._max_bytes} bytes.", limit=self._max_bytes)


class _Replay:
    """Gives the app the body that was read already, then whatever comes after it."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _check_type(headers: dict[bytes, bytes]) -> None:
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding != b"identity":
        raise ContentTypeUnsupported("Compressed bodies are not accepted.", field="Content-Encoding")
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type != b"application/json" and not media_type.endswith(b"+json"):
        raise ContentTypeUnsupported("The body must be JSON.", field="Content-Type")
