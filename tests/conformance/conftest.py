"""A stand for the whole run, and a bench for each runtime, wire and model when its first scenario comes."""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import AsyncExitStack
from typing import Protocol

import pytest

from runtimes.types import Wire
from services.conformance.bench import Bench
from services.conformance.suite import Stand
from services.conformance.suite import stand as put_up


class Benches(Protocol):
    """Gives the bench of a runtime on a wire, for a model's name if one is given."""

    def __call__(self, runtime: str, wire: Wire, model: str = "") -> Awaitable[Bench]: ...


@pytest.fixture(scope="session")
async def stand() -> AsyncGenerator[Stand]:
    async with put_up() as stand:
        yield stand


@pytest.fixture(scope="session")
async def benches(stand: Stand) -> AsyncGenerator[Benches]:
    known: dict[tuple[str, Wire, str], Bench] = {}
    async with AsyncExitStack() as stack:

        async def bench(runtime: str, wire: Wire, model: str = "") -> Bench:
            if (runtime, wire, model) not in known:
                known[runtime, wire, model] = await stack.enter_async_context(stand.bench(runtime, wire, model))
            return known[runtime, wire, model]

        yield bench
