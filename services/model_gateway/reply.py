"""The framework's side of a call."""

from collections.abc import Mapping

import orjson
from aiohttp import web

from runtimes.errors import RuntimeFailure
from services.model_gateway.wires.wire import ModelWire

#: Frameworks' SDKs heed it: retries have their place here, and only here.
NO_RETRY: Mapping[str, str] = {"x-should-retry": "false"}
_STREAM = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


class Reply:
    """What a framework gets: one body, or a stream that has begun as soon as a byte was written."""

    def __init__(self, request: web.Request, wire: ModelWire) -> None:
        self._request = request
        self._wire = wire
        self.response: web.StreamResponse = web.Response(status=500)
        self.has_begun = False

    async def write(self, data: bytes) -> None:
        """Pass on a part of a stream."""
        if not self.has_begun:
            self.has_begun = True
            self.response = web.StreamResponse(headers=_STREAM)
            await self.response.prepare(self._request)
        await self.response.write(data)

    async def end(self, data: bytes) -> None:
        """Pass on the end of a stream; one that had not begun goes out in one piece."""
        if self.has_begun:
            await self.response.write_eof(data)
        else:
            self.response = web.Response(body=data, headers=_STREAM)

    def whole(self, body: bytes) -> None:
        """Give the answer of a call that is not streamed."""
        self.response = web.Response(body=body, content_type="application/json")

    async def fail(self, failure: RuntimeFailure) -> None:
        """Tell of a failure in the wire's own words; a stream that has begun breaks after them."""
        if not self.has_begun:
            self.response = refusal(self._wire, failure)
            return
        await self.response.write(self._wire.error_event(failure))
        self.break_off()

    def break_off(self) -> None:
        """Close the connection: whoever reads must not take what it has for an answer."""
        if self._request.transport is not None:
            self._request.transport.close()


def refusal(wire: ModelWire, failure: RuntimeFailure) -> web.Response:
    """An error response."""
    return web.Response(
        status=wire.status(failure),
        body=orjson.dumps(wire.error(failure)),
        content_type="application/json",
        headers=NO_RETRY,
    )
