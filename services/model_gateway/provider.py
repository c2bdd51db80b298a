"""HTTP to providers: one pool of connections, one request after the other, failures typed."""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
import orjson

from runtimes.errors import ModelAnswerInvalid, ModelConnectionBroken, ModelFailure, ModelTimeout
from runtimes.types import ModelEndpoint, Wire
from services.model_gateway.bounds import (
    REFUSAL_BYTES,
    STREAM_BYTES,
    WHOLE_BYTES,
    AnswerTooLarge,
    AnswerUnfit,
    BoundedBody,
)
from services.model_gateway.errors import ModelAnswerTooLarge, ModelUnreachable, failure, of_response
from services.model_gateway.policy import ModelTimeouts
from services.model_gateway.sse import Event, EventReader, parsed
from services.storable import storable_value


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """What a provider is sent; `path` is the gateway's, `headers` without the key."""

    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    stream: bool


class ProviderAnswer:
    """A response with status 200, to be read whole or event by event; `idle` is how long it may be silent."""

    def __init__(self, response: aiohttp.ClientResponse, endpoint: ModelEndpoint, idle: float, first: float) -> None:
        self._response = response
        self._body = BoundedBody(response, STREAM_BYTES)
        self._endpoint = endpoint
        self.idle = idle
        self._first = first

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return self._body.read_bytes

    @property
    def is_whole(self) -> bool:
        """Whether it is one body, whatever was asked for."""
        return "json" in self._response.content_type

    async def whole(self) -> tuple[bytes, dict[str, Any]]:
        """The body, and what it says."""
        self._body.most = WHOLE_BYTES
        pieces: list[bytes] = []
        while piece := await self._read(self.idle):
            pieces.append(piece)
        body = b"".join(pieces)
        try:
            answer, is_odd = parsed(body)
        except (ValueError, RecursionError):
            answer, is_odd = None, False
        if is_odd:
            answer = storable_value(answer)
            body = orjson.dumps(answer)
        if not isinstance(answer, dict):
            raise self._invalid(body)
        return body, answer  # pyright: ignore[reportUnknownVariableType]

    async def events(self) -> AsyncGenerator[list[Event]]:
        """The events of a stream, as many at a time as came together."""
        reader, has_begun = EventReader(), False
        if "html" in self._response.content_type:
            raise self._invalid(await self._read(self._first))
        while piece := await self._read(self.idle if has_begun else self._first):
            if events := self._parsed(reader, piece):
                has_begun = True
                yield events
        if events := self._parsed(reader, None):
            yield events

    def _parsed(self, reader: EventReader, piece: bytes | None) -> list[Event]:
        try:
            return reader.end() if piece is None else reader.feed(piece)
        except AnswerTooLarge as error:
            raise failure(ModelAnswerTooLarge, str(error), self._endpoint) from None
        except (ValueError, RecursionError):
            raise self._invalid(piece or b"") from None

    async def _read(self, patience: float) -> bytes:
        async with _translated(self._endpoint):
            async with asyncio.timeout(patience):
                return await self._body.read()

    def _invalid(self, body: bytes) -> ModelFailure:
        said = f"{self._response.content_type}: {body[:200].decode(errors='replace')}"
        return failure(ModelAnswerInvalid, said, self._endpoint)


class ProviderClient:
    """Calls providers; keeps connections open for the next call."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
        self._session = aiohttp.ClientSession(
            connector=connector,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"accept-encoding": "identity", "user-agent": "holdfast"},
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def post(
        self, endpoint: ModelEndpoint, request: ProviderRequest, timeouts: ModelTimeouts
    ) -> AsyncGenerator[ProviderAnswer]:
        """Send a request; leaving closes the connection if the answer was not read to its end.

        Raises:
            ModelFailure: the provider cannot be reached, is silent for too long, or answers with an error.
        """
        assert self._session is not None
        first = timeouts.first_byte(stream=request.stream)
        began = asyncio.get_running_loop().time()
        async with _translated(endpoint), asyncio.timeout(first):
            response = await self._session.post(
                _url(endpoint, request),
                data=request.body,
                headers={"content-type": "application/json", **_key(endpoint), **request.headers},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect_seconds),
                allow_redirects=False,
            )
        try:
            if response.status != 200:
                raise await _refusal(response, endpoint, timeouts.idle_seconds)
            left = first - (asyncio.get_running_loop().time() - began)
            async with _translated(endpoint):
                answer = ProviderAnswer(response, endpoint, timeouts.idle_seconds, max(left, 0.001))
            yield answer
        finally:
            response.release()


@asynccontextmanager
async def _translated(endpoint: ModelEndpoint) -> AsyncGenerator[None]:
    """Failures of the connection, in our own terms; the library's words, which name the address, are the operator's."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
        raise failure(ModelUnreachable, _unreachable(error), endpoint, private=str(error)) from None
    except TimeoutError:
        raise failure(ModelTimeout, "it was silent for too long", endpoint) from None
    except aiohttp.ClientResponseError as error:
        raise failure(ModelAnswerInvalid, error.message, endpoint) from None
    except AnswerTooLarge as error:
        raise failure(ModelAnswerTooLarge, str(error), endpoint) from None
    except AnswerUnfit as error:
        raise failure(ModelAnswerInvalid, str(error), endpoint) from None
    except (aiohttp.ClientError, ConnectionError) as error:
        said = f"it was closed too early ({type(error).__name__})"
        raise failure(ModelConnectionBroken, said, endpoint, private=str(error)) from None


def _unreachable(error: aiohttp.ClientError) -> str:
    """Tell why no connection came about, without naming where to."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "its name is not known to the worker"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "its certificate is not accepted"
        case aiohttp.ClientConnectorError():
            return os.strerror(error.errno).lower() if error.errno else "the connection failed"
        case aiohttp.ConnectionTimeoutError():
            return "no connection came about in time"
        case _:
            return "its base_url cannot be used"


async def _refusal(response: aiohttp.ClientResponse, endpoint: ModelEndpoint, idle: float) -> ModelFailure:
    """The failure that a refusal tells of, by its status alone where no more of it comes."""
    body = bytearray()
    with suppress(AnswerUnfit, TimeoutError, aiohttp.ClientError, ConnectionError):
        bounded = BoundedBody(response, REFUSAL_BYTES)
        async with asyncio.timeout(idle):
            while piece := await bounded.read():
                body += piece
    return of_response(response.status, response.headers, bytes(body), endpoint)


def _url(endpoint: ModelEndpoint, request: ProviderRequest) -> str:
    """The wire's path, below the provider's base_url; that of the OpenAI wire has the version in it."""
    path = request.path.removeprefix("/v1") if endpoint.wire is Wire.OPENAI else request.path
    query = f"?{request.query}" if request.query else ""
    return f"{endpoint.base_url.rstrip('/')}{path}{query}"


def _key(endpoint: ModelEndpoint) -> dict[str, str]:
    if endpoint.wire is Wire.ANTHROPIC:
        return {"x-api-key": endpoint.api_key, "anthropic-version": "2023-06-01"}
    return {"authorization": f"Bearer {endpoint.api_key}"}
