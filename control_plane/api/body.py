"""Reads request bodies once, within limits, and refuses what is no JSON that the API can take."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_plane.api.json_text import check_json_object
from control_plane.errors import BodyTimeout, BodyTooLarge, ContentTypeUnsupported
from services.control_plane_client.models import LARGEST_ANSWER

PUBLIC = "/api/v1"

#: Seconds that a client may take for a whole body.
BODY_TIMEOUT = 30.0

#: What a worker reports of a turn holds its text twice, escaped.
WORKER, REPORT_FACTOR = "/internal/", 4

BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class BodyGuard:
    """Holds every body to the size limit, and those of the public API to strict JSON."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope.get("headers", ()))
        if not _has_body(scope, headers):
            await self._app(scope, receive, send)
            return
        body = await _Body(receive, self._limit(scope["path"])).read(headers.get(b"content-length"))
        if body is None:
            return
        if body and scope["path"].startswith(PUBLIC):
            _check_type(headers)
            check_json_object(body)
        await self._app(scope, _Replay(body, receive), send)

    def _limit(self, path: str) -> int:
        reported = max(self._max_bytes, LARGEST_ANSWER) * REPORT_FACTOR
        return reported if path.startswith(WORKER) else self._max_bytes


def _has_body(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    if scope["type"] != "http" or scope["method"] in BODILESS:
        return False
    return b"content-length" in headers or b"transfer-encoding" in headers


class _Body:
    """One request's body, up to a limit."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit

    async def read(self, announced: bytes | None) -> bytes | None:
        """The whole body; None if the client went away.

        Raises:
            BodyTooLarge: it is, or is announced to be.
            BodyTimeout: it did not come in time.
        """
        if announced is not None and announced.isdigit():
            self._check(int(announced))
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                return await self._collect()
        except TimeoutError:
            raise BodyTimeout(f"The body did not arrive within {BODY_TIMEOUT:.0f} seconds.") from None

    async def _collect(self) -> bytes | None:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return None
            chunk = message.get("body", b"")
            size += len(chunk)
            self._check(size)
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise BodyTooLarge(f"The body is larger than {self._limit} bytes.", limit=self._limit)


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
