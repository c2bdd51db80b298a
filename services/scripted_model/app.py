"""The scripted model as an ASGI application that speaks the OpenAI and the Anthropic wire."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from services.scripted_model.anthropic_wire import AnthropicWire
from services.scripted_model.caller import Caller
from services.scripted_model.conversation import Conversation
from services.scripted_model.director import Director, Tally
from services.scripted_model.embeddings_wire import EmbeddingsWire, VectorStage
from services.scripted_model.errors import CallerGoneError, ModelError, Problem
from services.scripted_model.openai_wire import OpenAIWire
from services.scripted_model.request_log import LoggedRequest, RequestLog
from services.scripted_model.responses_wire import ResponsesWire
from services.scripted_model.stage import BodyStage, Stage, StreamStage
from services.scripted_model.wire import Reader, Wire

Staged = Callable[[Caller, LoggedRequest, dict[str, str], Conversation], Stage]

#: One entry for both wires' SDKs, which look at different fields.
_MODEL = {
    "id": "scripted",
    "object": "model",
    "type": "model",
    "created": 0,
    "created_at": "1970-01-01T00:00:00Z",
    "display_name": "Scripted model",
    "owned_by": "holdfast",
}
_MODELS = {"object": "list", "data": [_MODEL], "has_more": False, "first_id": "scripted", "last_id": "scripted"}


def create_app(log: RequestLog | None = None, *, rewords: bool = False) -> Starlette:
    """Build the provider; any model name and any key will do. Give a log to read it in the same process.

    One that `rewords` says nothing twice in the same words, whatever a script says of it.
    """
    log = log or RequestLog()
    tally = Tally()
    director = Director(tally, rewords=rewords)
    anthropic = AnthropicWire()
    return Starlette(
        routes=[
            Route("/v1/chat/completions", speaking(OpenAIWire(), director, log), methods=["POST"]),
            Route("/v1/responses", speaking(ResponsesWire(), director, log), methods=["POST"]),
            Route("/v1/embeddings", ModelEndpoint(EmbeddingsWire(), director, log, embed), methods=["POST"]),
            Route("/v1/messages", speaking(anthropic, director, log), methods=["POST"]),
            Route("/v1/messages/count_tokens", TokenCount(anthropic), methods=["POST"]),
            Route("/v1/models", _models),
            Route("/health", _health),
            Route("/requests", LogEndpoint(log, tally), methods=["GET", "DELETE"]),
        ]
    )


class ModelEndpoint:
    """Answers one wire's model calls and logs each."""

    def __init__(self, wire: Reader, director: Director, log: RequestLog, staged: Staged) -> None:
        self._wire = wire
        self._director = director
        self._log = log
        self._staged = staged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = Caller(scope, receive, send)
        try:
            body = await caller.body()
        except CallerGoneError:
            return
        with self._log.record(self._wire.name, caller.path, body) as logged:
            await self._answer(caller, logged)

    async def _answer(self, caller: Caller, logged: LoggedRequest) -> None:
        headers = {self._wire.request_id_header: f"req_scripted_{logged.id}"}
        try:
            conversation = self._wire.read(logged.body)
            asking = self._director.asking(conversation)
            logged.describe(conversation, asking)
            answer = self._director.answer(conversation, asking)
            await self._staged(caller, logged, headers, conversation).perform(answer)
        except ModelError as error:
            await self._refuse(caller, logged, error.problem, headers)

    async def _refuse(
        self, caller: Caller, logged: LoggedRequest, problem: Problem, headers: Mapping[str, str]
    ) -> None:
        logged.outcome = "failed"
        body = self._wire.error(problem)
        retry_after = {"retry-after": problem.retry_after} if problem.retry_after else {}
        kind = {"content-type": "application/json", "content-length": str(len(body))}
        await caller.start(logged, problem.status, {**headers, **kind, **retry_after})
        await caller.write(body, end=True)


def speaking(wire: Wire, director: Director, log: RequestLog) -> ModelEndpoint:
    """An endpoint that answers with text and tool calls."""

    def staged(caller: Caller, log: LoggedRequest, headers: dict[str, str], conversation: Conversation) -> Stage:
        stage = StreamStage if conversation.stream else BodyStage
        return stage(caller, log, headers, wire.writer(conversation))

    return ModelEndpoint(wire, director, log, staged)


def embed(caller: Caller, log: LoggedRequest, headers: dict[str, str], _: Conversation) -> Stage:
    """Answers with vectors."""
    return VectorStage(caller, log, headers)


class TokenCount:
    """Counts the tokens of a request as the usage of its answer would; not a model call, so not logged."""

    def __init__(self, wire: Reader) -> None:
        self._wire = wire

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        try:
            response = _json({"input_tokens": self._wire.read(body).input_tokens})
        except ModelError as error:
            response = Response(self._wire.error(error.problem), error.problem.status, media_type="application/json")
        await response(scope, receive, send)


class LogEndpoint:
    """GET reads the log (`?contains=`, `?kind=`, `?after=`); DELETE empties it.

    Emptied, it also forgets whom `error … times K` failed, and what it was asked before.
    """

    def __init__(self, log: RequestLog, tally: Tally) -> None:
        self._log = log
        self._tally = tally

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = self._cleared() if request.method == "DELETE" else self._listed(request.query_params)
        await response(scope, receive, send)

    def _cleared(self) -> Response:
        self._log.clear()
        self._tally.clear()
        return Response(status_code=204)

    def _listed(self, query: Mapping[str, str]) -> Response:
        after = query.get("after", "0")
        if not after.isdecimal():
            return _json({"error": f"after={after[:80]!r} is no request id: a whole number from 0 is."}, 400)
        filters = {"contains": query.get("contains", ""), "kind": query.get("kind", "")}
        views = [found.view() for found in self._log.requests(**filters, after=int(after))]
        return _json({"count": len(views), "requests": views})


def _json(content: Mapping[str, Any] | Sequence[Any], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


async def _models(_: Request) -> Response:
    return JSONResponse(_MODELS)


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})
