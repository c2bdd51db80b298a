"""Fixtures of the runtimes' tests."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from runtimes.factory import RuntimeFactory
from runtimes.manifests.known import KNOWN
from runtimes.types import Wire
from tests.runtimes.model_server import ModelServer, serving
from tests.runtimes.turns import Turns

#: The runtimes that are given a model and tools and run a framework's loop with them.
FRAMEWORKS = ("default", "langgraph", "native", "openai_agents")
PAIRS = [(name, wire) for name in FRAMEWORKS for wire in sorted(KNOWN[name].wires)]


@pytest.fixture(scope="session")
def model() -> Iterator[ModelServer]:
    with serving() as server:
        yield server


@pytest_asyncio.fixture(scope="session")
async def factory() -> AsyncIterator[RuntimeFactory]:
    factory = RuntimeFactory()
    yield factory
    await factory.close()


@pytest.fixture
def framework(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def wire(request: pytest.FixtureRequest) -> Wire:
    return request.param


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every framework, on each wire that it speaks."""
    wanted = {"framework", "wire"} & set(metafunc.fixturenames)
    if wanted == {"framework", "wire"}:
        metafunc.parametrize(("framework", "wire"), PAIRS, indirect=True)
    elif wanted == {"framework"}:
        metafunc.parametrize("framework", FRAMEWORKS, indirect=True)
    elif wanted == {"wire"}:
        metafunc.parametrize("wire", list(Wire), indirect=True)


@pytest.fixture
def turns(factory: RuntimeFactory, framework: str, model: ModelServer, wire: Wire) -> Turns:
    """Streamed turns of every framework, on each of its wires."""
    return Turns(factory, framework, model, model.endpoint(wire))


@pytest.fixture(params=[True, False], ids=["streamed", "whole"])
def both_ways(
    request: pytest.FixtureRequest, factory: RuntimeFactory, framework: str, model: ModelServer, wire: Wire
) -> Turns:
    """Turns of every framework on each of its wires, streamed and in one piece."""
    return Turns(factory, framework, model, model.endpoint(wire), streaming=request.param)
