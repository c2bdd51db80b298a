"""Requests go out as their provider wants them: as set, as its vendor is known to, or as a refusal taught."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from runtimes.errors import ModelRequestRejected
from runtimes.types import ModelEndpoint, Usage, Wire
from services.control_plane_client.models import StepStatus
from services.dialects import Dialect, OutputLimit, SystemRole, vendors_dialect
from services.model_gateway.dialects import Dialects
from services.model_gateway.policy import ModelPolicy, ModelRetries
from services.model_gateway.server import ModelGateway
from services.providers import Provider, ProviderRegistry
from tests.provider_bodies.replay import Replay
from tests.runtimes.model_server import ModelServer
from tests.services.model_gateway.gateways import KEY, Turn, Turns
from tests.services.model_gateway.odd_provider import served

ONCE = ModelPolicy(model_retries=ModelRetries(attempts=1))
ENDPOINT = ModelEndpoint("http://provider", KEY, Wire.OPENAI, "m", "acme")
ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
}


@pytest.fixture
async def gateways() -> AsyncIterator[list[ModelGateway]]:
    opened: list[ModelGateway] = []
    yield opened
    for gateway in opened:
        await gateway.close()


async def turns(gateways: list[ModelGateway], model: ModelServer, url: str, dialect: Dialect | None = None) -> Turns:
    """Turns of a worker that has just begun; with the dialect that its operator has set."""
    provider = Provider("openai", f"{url}/v1", KEY, dialect=dialect or Dialect())
    gateways.append(ModelGateway(ProviderRegistry([provider])))
    await gateways[-1].start()
    return Turns(gateways[-1], model, Wire.OPENAI)


async def asked(turn: Turn, **more: Any) -> int:
    """The status of a chat completion, as a framework asks for it."""
    messages = [{"role": "user", "content": f"case {turn.marker}"}]
    body = {"model": turn.endpoint.model, "messages": messages, "stream": True, **more}
    headers = {"authorization": f"Bearer {turn.endpoint.api_key}"}
    url = f"{turn.endpoint.base_url}/chat/completions"
    async with aiohttp.ClientSession() as http, http.post(url, json=body, headers=headers) as response:
        await response.read()
        return response.status


@pytest.mark.parametrize(
    ("name", "sent", "refused", "taken"),
    [
        ("mistral-stream-options", {}, "stream_options", None),
        ("mistral-stream-options", {"stream_options": {"include_usage": True}}, "stream_options", None),
        ("azure-max-tokens", {"max_tokens": 500}, "max_tokens", "max_completion_tokens"),
    ],
)
async def test_one_refusal_teaches_a_worker_the_dialect(
    gateways: list[ModelGateway],
    model: ModelServer,
    provider_bodies: Replay,
    name: str,
    sent: dict[str, Any],
    refused: str,
    taken: str | None,
) -> None:
    worker = await turns(gateways, model, provider_bodies.url)
    async with worker.open(model_id=f"openai/{name}", policy=ONCE) as turn:
        statuses = [await asked(turn, **sent, n=n) for n in (1, 2)]
    async with worker.open(
        model_id=f"openai/{name}", policy=ONCE, recorded=turn.steps.steps, marker=turn.marker
    ) as again:
        replayed = await asked(again, **sent, n=1)

    assert [*statuses, replayed] == [200, 200, 200]
    assert [each.outcome == "refused" for each in provider_bodies.log] == [True, False, False]
    assert [refused in each.body for each in provider_bodies.log] == [True, False, False]
    assert taken is None or [each.body.get(taken) for each in provider_bodies.log] == [None, 500, 500]
    first, second, third = turn.steps.steps
    assert (first.status, first.usage) == (StepStatus.FAILED, Usage(model_calls=1))
    assert first.hash == second.hash != third.hash
    assert second.request["body"].get(refused) == sent.get(refused), "the journal has what the framework asked"


async def test_what_is_set_is_not_tried_out(
    gateways: list[ModelGateway], model: ModelServer, provider_bodies: Replay
) -> None:
    wanted = Dialect(stream_options=False, output_limit=OutputLimit.MAX_COMPLETION_TOKENS)
    worker = await turns(gateways, model, provider_bodies.url, wanted)
    statuses: list[int] = []
    for name in ("mistral-stream-options", "azure-max-tokens"):
        async with worker.open(model_id=f"openai/{name}") as turn:
            statuses.append(await asked(turn, max_tokens=5))

    assert statuses == [200, 200]
    assert [each.outcome == "refused" for each in provider_bodies.log] == [False, False]


async def test_what_is_set_is_not_unlearnt(
    gateways: list[ModelGateway], model: ModelServer, provider_bodies: Replay
) -> None:
    worker = await turns(gateways, model, provider_bodies.url, Dialect(output_limit=OutputLimit.MAX_TOKENS))
    async with worker.open(model_id="openai/azure-max-tokens") as turn:
        status = await asked(turn, max_completion_tokens=5)

    assert status == 400
    assert [each.outcome for each in provider_bodies.log] == ["refused"]


async def test_a_refusal_that_no_dialect_helps_is_told_and_teaches_nothing(
    gateways: list[ModelGateway], model: ModelServer
) -> None:
    """This provider takes neither name, and says so in the words of the one that it was sent."""
    bodies: list[dict[str, Any]] = []

    async def refuse(request: web.Request) -> web.Response:
        bodies.append(json.loads(await request.read()))
        name = next(name for name in OutputLimit if name in bodies[-1])
        return web.json_response({"error": {"message": f"Unsupported parameter: '{name}'"}}, status=400)

    async with served(refuse) as url:
        worker = await turns(gateways, model, url)
        async with worker.open(model_id="openai/m") as turn:
            statuses = [await asked(turn, max_tokens=5) for _ in range(2)]

    assert statuses == [400, 400]
    assert isinstance(turn.session.failure, ModelRequestRejected)
    assert [next(name for name in OutputLimit if name in body) for body in bodies] == [
        "max_tokens",
        "max_completion_tokens",
    ] * 2


async def test_a_role_is_learnt_beside_a_limit(gateways: list[ModelGateway], model: ModelServer) -> None:
    roles: list[str] = []

    async def insist(request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        roles.append(body["messages"][0]["role"])
        if roles[-1] == "developer":
            return _refused("messages[0].role: unknown variant `developer`, expected one of `system`, `user`")
        if "max_completion_tokens" in body:
            return _refused("body.max_completion_tokens: Extra inputs are not permitted")
        return web.json_response(ANSWER)

    prompt = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    async with served(insist) as url:
        worker = await turns(gateways, model, url)
        async with worker.open(model_id="openai/m", policy=ONCE) as turn:
            statuses = [await asked(turn, stream=False, max_completion_tokens=n, messages=prompt) for n in (5, 6)]

    assert statuses == [200, 200]
    assert roles == ["developer", "system", "system", "system"]


@pytest.mark.parametrize(
    ("sent", "refusal", "learnt"),
    [
        ({"max_tokens": 9}, "max_tokens is too large: 9. This model does not support more", Dialect()),
        ({"max_tokens": 9}, "Unsupported parameter: 'top_k'", Dialect()),
        ({}, "Unrecognized request argument supplied: max_tokens", Dialect()),
        (
            {"max_completion_tokens": 9},
            "Unrecognized request argument supplied: max_completion_tokens",
            Dialect(output_limit=OutputLimit.MAX_TOKENS),
        ),
        (
            {"messages": [{"role": "system", "content": ""}]},
            "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
            Dialect(system_role=SystemRole.DEVELOPER),
        ),
        ({"messages": [{"role": "system", "content": ""}]}, "System role not supported", Dialect()),
        (
            {"messages": [{"role": "developer", "content": ""}]},
            "'developer' is not one of ['system', 'assistant', 'user']",
            Dialect(system_role=SystemRole.SYSTEM),
        ),
        ({"stream_options": {}}, "Unknown field: stream_options", Dialect(stream_options=False)),
    ],
)
def test_only_a_refusal_of_a_name_teaches(sent: dict[str, Any], refusal: str, learnt: Dialect) -> None:
    dialects = Dialects(lambda _: Dialect())

    found = dialects.learnt(ENDPOINT, Dialect(), Dialect(), sent, refusal)

    assert (found or Dialect()) == learnt


def test_vendors_are_known_by_their_address() -> None:
    mistral, openai = vendors_dialect("https://api.mistral.ai/v1"), vendors_dialect("https://api.openai.com/v1")
    elsewhere = vendors_dialect("http://127.0.0.1:11434/v1")

    assert (mistral.stream_options, mistral.output_limit) == (False, "max_tokens")
    assert openai.output_limit == "max_completion_tokens"
    assert elsewhere == Dialect()
    assert mistral.beneath(Dialect(stream_options=True)).stream_options is True


def test_only_what_is_different_is_changed() -> None:
    body: dict[str, Any] = {
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "hi"}, "odd"],
        "stream_options": {},
    }

    changed = Dialect(False, OutputLimit.MAX_COMPLETION_TOKENS, SystemRole.SYSTEM).spoken(body)

    assert changed == {"max_completion_tokens": 5, "messages": body["messages"]}
    assert Dialect(True, OutputLimit.MAX_TOKENS, SystemRole.SYSTEM).spoken(body) is body
    assert body["max_tokens"] == 5


def _refused(words: str) -> web.Response:
    return web.json_response({"error": {"message": words, "type": "invalid_request_error"}}, status=400)
