"""A stand for the whole run, and a bench for each runtime and wire when its first scenario comes."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from runtimes.types import Wire
from services.conformance.bench import Bench
from services.conformance.suite import Stand
from services.conformance.suite import stand as put_up

Benches = Callable[[str, Wire], Awaitable[Bench]]


@pytest.fixture(scope="session")
async def stand() -> AsyncGenerator[Stand]:
    async with put_up() as stand:
        yield stand


@pytest.fixture(scope="session")
async def benches(stand: Stand) -> AsyncGenerator[Benches]:
    known: dict[tuple[str, Wire], Bench] = {}
    async with AsyncExitStack() as stack:

        async def bench(runtime: str, wire: Wire) -> Bench:
            if (runtime, wire) not in known:
                known[runtime, wire] = await stack.enter_async_context(stand.bench(runtime, wire))
            return known[runtime, wire]

        yield bench
