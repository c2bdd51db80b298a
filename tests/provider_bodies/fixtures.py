"""The provider of the bodies, for any test."""

from collections.abc import AsyncGenerator

import pytest

from tests.provider_bodies.replay import Replay, replaying


@pytest.fixture
async def provider_bodies() -> AsyncGenerator[Replay]:
    """A provider that says what real ones say; a body's name is its model's."""
    async with replaying() as replay:
        yield replay
