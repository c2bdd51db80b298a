"""Fixtures that every test may use."""

import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.stack import Stack

# Where a shell started the tests in the background, they ignore Ctrl-C, and so would every process that they interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: Plugins are the modules whose assertions say what they compared.
pytest_plugins = [
    "tests.postgres",
    "tests.invariants",
    "tests.sandbox",
    "tests.observed",
    "tests.provider_bodies.fixtures",
]

NewStack = Callable[..., AbstractAsyncContextManager[Stack]]


@pytest.fixture(scope="session")
async def stack(clone_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stack]:
    """The stack that tests share: none of its processes may be harmed."""
    settings = {"HOLDFAST_PYTHON_TOOL_MODULES": "tests.tools", "PYTHONPATH": str(Path(__file__).parent.parent)}
    async with Stack(tmp_path_factory.mktemp("stack"), clone_database(), settings=settings) as running:
        await _make_agents(running)
        yield running


@pytest.fixture(scope="session")
def new_stack(clone_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> NewStack:
    """Makes a stack of a test's own, for tests that kill; short timeouts, one pool."""

    @asynccontextmanager
    async def make(**options: Any) -> AsyncGenerator[Stack]:
        settings = {
            "HOLDFAST_HEARTBEAT_TIMEOUT_SECONDS": "3",
            "HOLDFAST_WORKER_GRACE_SECONDS": "1",
            "HOLDFAST_RECONCILE_INTERVAL_SECONDS": "1",
        } | options.pop("settings", {})
        database_url = options.pop("database_url", None) or clone_database()
        options = {"pools": ("default",)} | options
        async with Stack(tmp_path_factory.mktemp("own"), database_url, settings=settings, **options) as running:
            await _make_agents(running)
            yield running

    return make


async def _make_agents(stack: Stack) -> None:
    await stack.agent("demo")
    await stack.agent("plain", runtime="scripted", model_id="none")
