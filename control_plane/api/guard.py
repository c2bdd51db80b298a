"""The outermost layer: request ids, the request's head, Host and Origin, and the last resort."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from urllib.parse import parse_qsl, urlsplit

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from control_plane.api.problems import REQUEST_ID, as_holdfast_error, problem_response
from control_plane.errors import HeadersTooLarge, HostForbidden, NotFound, OriginDenied, UriTooLong, ValueInvalid

SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")

#: Longest path with its query, and largest sum of all headers, in bytes.
MAX_URI = 8 * 1024
MAX_HEADERS = 32 * 1024

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

#: Answered whatever the Host: an orchestrator and Prometheus ask an address, not a name.
PROBES = frozenset({"/health/live", "/health/ready", "/metrics"})


class RequestGuard:
    """Gives every request its id, refuses what no route should see, answers what nothing else caught.

    `count` hears of the code and status of each error that is answered here.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str], count: Callable[[str, int], None]) -> None:
        self._app = app
        self._count = count
        self._names = frozenset(host.strip("[]").lower() for host in allowed_hosts)
        self._suffixes = tuple(name[1:] for name in self._names if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = _request_id(headers)
        scope[REQUEST_ID] = request_id.decode()
        structlog.contextvars.bind_contextvars(request_id=scope[REQUEST_ID])
        sending = _Sending(send, request_id)
        try:
            _check_head(scope)
            self._check_source(scope, headers)
            await self._app(scope, receive, sending)
        except Exception as error:
            failure = as_holdfast_error(error, scope)
            if sending.started:
                raise
            self._count(failure.code, failure.status)
            await problem_response(failure, scope)(scope, receive, sending)

    def _check_source(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if not self._allows(host) and scope["path"] not in PROBES:
            raise HostForbidden("The Host header names a host that this API does not serve.", field="Host")
        origin = headers.get(b"origin")
        if origin is not None and scope["method"] not in SAFE_METHODS and _netloc(origin) != host:
            raise OriginDenied("The request comes from another web page.", field="Origin")

    def _allows(self, host: str) -> bool:
        name = _hostname(host)
        return name in self._names or "*" in self._names or bool(self._suffixes and name.endswith(self._suffixes))


class _Sending:
    """Adds the request id to the answer, and knows whether the answer has begun."""

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send = send
        self._header = (b"x-request-id", request_id)
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            message["headers"] = [*message.get("headers", ()), self._header]
        await self._send(message)


def _check_head(scope: Scope) -> None:
    if len(scope["path"]) + len(scope["query_string"]) > MAX_URI:
        raise UriTooLong(f"Path and query are longer than {MAX_URI} bytes.")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADERS:
        raise HeadersTooLarge(f"The headers are larger than {MAX_HEADERS} bytes.")
    if "\x00" in scope["path"]:
        raise NotFound("There is nothing at this path.")
    names = Counter(name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    if twice := [name for name, number in names.items() if number > 1]:
        raise ValueInvalid("The parameter occurs more than once.", field=twice[0][:80])


def _request_id(headers: dict[bytes, bytes]) -> bytes:
    given = headers.get(b"x-request-id", b"")
    return given if SANE_REQUEST_ID.fullmatch(given) else uuid7().hex.encode()


def _hostname(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _netloc(origin: bytes) -> str:
    try:
        return urlsplit(origin.decode("latin-1")).netloc.lower()
    except ValueError:
        return ""
