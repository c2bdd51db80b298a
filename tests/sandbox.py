"""The sandbox, for tests that need it."""

import os

import pytest

from runtimes.errors import ToolsetInvalid
from services.sandbox.sandbox import Sandbox


@pytest.fixture(scope="session")
async def sandbox() -> Sandbox:
    """One that works; where it cannot, the test is skipped, and fails in CI."""
    found = Sandbox()
    try:
        await found.check()
    except ToolsetInvalid as problem:
        told = f"{problem.message} {problem.hint}"
        if os.environ.get("CI"):
            pytest.fail(told)
        pytest.skip(told)
    return found
