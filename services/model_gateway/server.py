"""The model gateway's HTTP server: every framework's provider."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, cast

import orjson
from aiohttp import web

from runtimes.errors import (
    ModelAuthentication,
    ModelFailure,
    ModelNotFound,
    ModelRequestRejected,
    RuntimeFailure,
)
from runtimes.types import ModelEndpoint, Wire
from services.listening.deadlines import IDLE_SECONDS
from services.listening.sites import runner, whole_body
from services.model_gateway import pricing
from services.model_gateway.breaker import Breakers
from services.model_gateway.call import CallRequest, ModelCall
from services.model_gateway.dialects import Dialects
from services.model_gateway.parameters import without
from services.model_gateway.provider import ProviderClient, ProviderRequest
from services.model_gateway.reply import Reply, refusal
from services.model_gateway.sessions import ModelSession, OpenSession, Sessions
from services.model_gateway.sse import loads
from services.model_gateway.wires.chat import ChatWire
from services.model_gateway.wires.embeddings import EmbeddingsWire
from services.model_gateway.wires.messages import MessagesWire
from services.model_gateway.wires.responses import ResponsesWire
from services.model_gateway.wires.wire import ModelWire
from services.providers import ProviderRegistry

#: Requests carry images and documents.
MAX_REQUEST_BYTES = 256 * 1024 * 1024
COUNT_TOKENS = "/v1/messages/count_tokens"
CHAT, MESSAGES = ChatWire(), MessagesWire()
WIRES: Sequence[ModelWire] = (CHAT, MESSAGES, ResponsesWire(), EmbeddingsWire())

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ModelGateway:
    """Answers the model calls of all attempts in this process, on loopback; keys of providers stay in here."""

    def __init__(self, providers: ProviderRegistry, breakers: Breakers | None = None) -> None:
        self._providers = providers
        self._breakers = breakers or Breakers()
        self._dialects = Dialects(providers.dialect)
        self._sessions = Sessions()
        self._client = ProviderClient()
        self._runner: web.AppRunner | None = None
        self._url = ""

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        pricing.is_priced(ModelEndpoint("", "", Wire.OPENAI, "", "openai"))
        await self._client.__aenter__()
        self._runner = runner(self._app(), idle_seconds=IDLE_SECONDS, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self._url = f"http://{host}:{port}"

    async def close(self) -> None:
        """Close every connection."""
        if self._runner is not None:
            await self._runner.cleanup()
        await self._client.__aexit__()

    @asynccontextmanager
    async def session(self, session: ModelSession) -> AsyncGenerator[ModelEndpoint]:
        """Open the gateway to an attempt; leaving forgets its token and ends its calls.

        Raises:
            ConfigurationInvalid: its model or a fallback cannot be called.
        """
        opened = OpenSession(session, self._providers)
        token = self._sessions.add(opened)
        primary = opened.primary
        try:
            url = f"{self._url}/v1" if primary.wire is Wire.OPENAI else self._url
            yield ModelEndpoint(url, token, primary.wire, primary.model, primary.provider)
        finally:
            self._sessions.remove(token)
            await opened.close()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        for wire in WIRES:
            app.router.add_post(wire.path, self._handler(wire, self._call))
        app.router.add_post(COUNT_TOKENS, self._handler(MESSAGES, self._count_tokens))
        app.router.add_get("/v1/models", self._handler(CHAT, self._models))
        app.router.add_route("*", "/{path:.*}", _unknown)
        return app

    def _handler(
        self,
        wire: ModelWire,
        answer: Callable[[web.Request, ModelWire, OpenSession], Awaitable[web.StreamResponse]],
    ) -> Handler:
        """The handler of a path: who asks is known, and refusals are told in the wire's words."""

        async def handle(request: web.Request) -> web.StreamResponse:
            opened = next((found for token in _tokens(request) if (found := self._sessions.find(token))), None)
            if opened is None:
                return refusal(wire, ModelAuthentication("The token is not, or no longer, one of a running attempt."))
            task = asyncio.current_task()
            if task is not None:
                opened.enter(task)
            opened.session.on_activity()
            try:
                return await answer(request, wire, opened)
            except RuntimeFailure as failure:
                return refusal(wire, failure)

        return handle

    async def _call(self, request: web.Request, wire: ModelWire, opened: OpenSession) -> web.StreamResponse:
        session, reply = opened.session, Reply(request, wire)
        try:
            call = await _read(request, wire, opened)
            await ModelCall(call, opened, reply, self._client, self._breakers, self._dialects).run()
        except ModelFailure as failure:
            session.failure = failure
            await reply.fail(failure)
        except RuntimeFailure as failure:
            session.failure = failure
            session.control.abort(failure)
            await reply.fail(failure)
        else:
            session.failure = None
        return reply.response

    async def _count_tokens(self, request: web.Request, wire: ModelWire, opened: OpenSession) -> web.StreamResponse:
        call = await _read(request, wire, opened)
        endpoint = opened.models(call.model)[0]
        body = call.to(endpoint, self._dialects.of(endpoint)).body
        asked = ProviderRequest(COUNT_TOKENS, call.query, call.headers, body, stream=False)
        async with self._client.post(endpoint, asked, opened.session.policy.model_timeouts) as answer:
            body, _ = await answer.whole()
        return web.Response(body=body, content_type="application/json")

    async def _models(self, request: web.Request, wire: ModelWire, opened: OpenSession) -> web.StreamResponse:
        models = [_model(endpoint) for endpoint in opened.endpoints]
        ends = {"has_more": False, "first_id": models[0]["id"], "last_id": models[-1]["id"]}
        return web.json_response({"object": "list", "data": models, **ends})


async def _unknown(request: web.Request) -> web.StreamResponse:
    wire = MESSAGES if request.path.startswith(MESSAGES.path) or "anthropic-version" in request.headers else CHAT
    return refusal(wire, ModelNotFound(f"The model gateway has no {request.method} {request.path[:200]}."))


async def _read(request: web.Request, wire: ModelWire, opened: OpenSession) -> CallRequest:
    """The request of a model that the agent has.

    Raises:
        ModelRequestRejected: it is no JSON object with a model.
        ModelNotFound: the agent has no such model.
        BodyLate: it does not come to its end.
    """
    began, raw = perf_counter(), await whole_body(request)
    given = _body(raw)
    body = without(given, opened.session.unasked)
    raw = raw if body is given else orjson.dumps(body)
    headers = {name: request.headers[name] for name in wire.headers if name in request.headers}
    call = CallRequest(wire, body, raw, request.query_string, headers, began)
    if opened.primary.wire is not wire.family or not opened.models(call.model):
        known = ", ".join(endpoint.model for endpoint in opened.endpoints)
        raise ModelNotFound(f"The agent has no model '{call.model[:80]}' on this wire; it has: {known}.")
    return call


def _body(raw: bytes) -> dict[str, Any]:
    try:
        body: Any = loads(raw)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):  # pyright: ignore[reportUnknownMemberType]
        raise ModelRequestRejected("The request's body is no JSON object with a 'model'.")
    return cast("dict[str, Any]", body)


def _tokens(request: web.Request) -> Sequence[str]:
    """What a request has for a token, where either wire's SDK puts it."""
    _, _, bearer = request.headers.get("authorization", "").partition(" ")
    return bearer.strip(), request.headers.get("x-api-key", "")


def _model(endpoint: ModelEndpoint) -> dict[str, Any]:
    """One entry for both wires' SDKs, which look at different fields."""
    return {
        "id": endpoint.model,
        "object": "model",
        "type": "model",
        "created": 0,
        "created_at": "1970-01-01T00:00:00Z",
        "display_name": endpoint.model,
        "owned_by": endpoint.provider,
    }
