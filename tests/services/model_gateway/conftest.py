"""Fixtures of the model gateway's tests."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from runtimes.types import Wire
from services.model_gateway.server import ModelGateway
from services.providers import Provider, ProviderRegistry
from tests.runtimes.model_server import ModelServer, serving
from tests.services.model_gateway.gateways import KEY, Turns


@pytest.fixture(scope="session")
def model() -> Iterator[ModelServer]:
    with serving() as server:
        yield server


@pytest_asyncio.fixture(scope="session")
async def gateway(model: ModelServer) -> AsyncIterator[ModelGateway]:
    providers = [
        Provider("openai", f"{model.url}/v1", KEY),
        Provider("anthropic", model.url, KEY, Wire.ANTHROPIC),
        Provider("down", "http://127.0.0.1:9/v1", KEY),
    ]
    gateway = ModelGateway(ProviderRegistry(providers))
    await gateway.start()
    yield gateway
    await gateway.close()


@pytest.fixture(params=list(Wire))
def wire(request: pytest.FixtureRequest) -> Wire:
    return request.param


@pytest.fixture
def turns(gateway: ModelGateway, model: ModelServer, wire: Wire) -> Turns:
    """Turns on both wires."""
    return Turns(gateway, model, wire)


@pytest.fixture
def openai_turns(gateway: ModelGateway, model: ModelServer) -> Turns:
    """Turns on the OpenAI wire."""
    return Turns(gateway, model, Wire.OPENAI)


@pytest.fixture(params=[True, False], ids=["streamed", "whole"])
def stream(request: pytest.FixtureRequest) -> bool:
    return request.param
