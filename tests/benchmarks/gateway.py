"""What the model gateway adds to a call, and what a replayed call costs."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NoReturn
from uuid import UUID

import aiohttp
from prometheus_client import CollectorRegistry

from runtimes.errors import RuntimeFailure
from runtimes.types import ModelEndpoint, Usage, Wire
from services.budget import Budget, Limits
from services.control_plane_client.models import NewEvent, Step
from services.journal import Journal
from services.metrics import TurnMetrics
from services.model_gateway.server import ModelGateway
from services.model_gateway.sessions import ModelSession
from services.providers import Provider, ProviderRegistry
from services.turn_control import Question
from tests.benchmarks.report import Result

ROUNDS = 200
WARM_UP = 20
MODEL = "local/scripted"
#: A text of a few sentences, as fast as it can be streamed.
SCRIPT = "[[emit 50]]"
METRICS = TurnMetrics(CollectorRegistry())


@dataclass(slots=True)
class Calls:
    """Milliseconds of each call, by the way that it took."""

    direct: list[float] = field(default_factory=list[float])
    through: list[float] = field(default_factory=list[float])
    replayed: list[float] = field(default_factory=list[float])

    def results(self) -> list[Result]:
        """The figures; the baseline is a call without the gateway."""
        direct = median(self.direct)
        added = Result("model_gateway_added_p50_ms", round(median(self.through) - direct, 3), "ms", round(direct, 3))
        return [added.at_most(3), Result.of("model_gateway_replay_p50_ms", median(self.replayed), "ms").at_most(5)]


async def measure(model_url: str) -> Calls:
    """Stream the same prompts directly and through a gateway in turns, then run them again from the journal."""
    calls, stored = Calls(), _Stored()
    gateway = ModelGateway(ProviderRegistry([Provider("local", f"{model_url}/v1")]))
    await gateway.start()
    direct = ModelEndpoint(f"{model_url}/v1", "none", Wire.OPENAI, "scripted", "local")
    async with aiohttp.ClientSession(trust_env=False) as http:
        async with _session(gateway, stored) as endpoint:
            for number in range(WARM_UP + ROUNDS):
                calls.direct.append(await _call(http, direct, number))
                calls.through.append(await _call(http, endpoint, number))
        async with _session(gateway, _Stored(), stored.steps) as endpoint:
            calls.replayed = [await _call(http, endpoint, number) for number in range(WARM_UP + ROUNDS)]
    await gateway.close()
    return Calls(calls.direct[WARM_UP:], calls.through[WARM_UP:], calls.replayed[WARM_UP:])


@dataclass(slots=True)
class _Stored:
    """A journal in memory: the control plane's part is measured elsewhere."""

    steps: list[Step] = field(default_factory=list[Step])

    async def write(self, step: Step, events: Sequence[NewEvent] = (), *, used: Sequence[UUID] = ()) -> None:
        self.steps.append(step)


class _NoControl:
    """A turn to which nothing is done."""

    def abort(self, failure: RuntimeFailure) -> NoReturn:
        raise failure

    async def ask(self, question: Question) -> NoReturn:
        raise AssertionError(question)


@asynccontextmanager
async def _session(
    gateway: ModelGateway, stored: _Stored, recorded: Sequence[Step] = ()
) -> AsyncGenerator[ModelEndpoint]:
    journal = Journal(2 if recorded else 1, recorded, stored, _no_blob, METRICS)
    session = ModelSession(journal, Budget(Limits(), Usage()), _NoControl(), MODEL)
    async with gateway.session(session) as endpoint:
        yield endpoint


async def _no_blob(digest: str) -> Any:
    raise AssertionError(digest)


async def _call(http: aiohttp.ClientSession, endpoint: ModelEndpoint, number: int) -> float:
    """A streamed call, read to its end."""
    messages = [{"role": "user", "content": f"{number} {SCRIPT}"}]
    body = {"model": endpoint.model, "messages": messages, "stream": True}
    began = time.perf_counter()
    headers = {"authorization": f"Bearer {endpoint.api_key}"}
    async with http.post(f"{endpoint.base_url}/chat/completions", json=body, headers=headers) as response:
        await response.read()
    return (time.perf_counter() - began) * 1000
