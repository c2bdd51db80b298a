"""Fixtures of the runtimes' tests."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from runtimes.factory import RuntimeFactory
from runtimes.types import Wire
from tests.runtimes.model_server import ModelServer, serving
from tests.runtimes.turns import Turns

#: The runtimes that are given a model and tools and run a framework's loop with them.
FRAMEWORKS = ("default", "langgraph", "native")


@pytest.fixture(scope="session")
def model() -> Iterator[ModelServer]:
    with serving() as server:
        yield server


@pytest_asyncio.fixture(scope="session")
async def factory() -> AsyncIterator[RuntimeFactory]:
    factory = RuntimeFactory()
    yield factory
    await factory.close()


@pytest.fixture(params=list(Wire))
def wire(request: pytest.FixtureRequest) -> Wire:
    return request.param


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def turns(factory: RuntimeFactory, framework: str, model: ModelServer, wire: Wire) -> Turns:
    """Streamed turns of every framework, on both wires."""
    return Turns(factory, framework, model, model.endpoint(wire))


@pytest.fixture(params=[True, False], ids=["streamed", "whole"])
def both_ways(
    request: pytest.FixtureRequest, factory: RuntimeFactory, framework: str, model: ModelServer, wire: Wire
) -> Turns:
    """Turns of every framework on both wires, streamed and in one piece."""
    return Turns(factory, framework, model, model.endpoint(wire), streaming=request.param)
