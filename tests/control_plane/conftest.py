"""Parts of the control plane in this process, beside a Temporal that a test gives."""

from collections.abc import AsyncGenerator

import pytest

from control_plane.gateway import TemporalGateway
from tests.control_plane.installation import Installation, installed
from tests.control_plane.turns import Temporal


@pytest.fixture
def temporal() -> TemporalGateway:
    """One where everything runs for ever."""
    return Temporal()


@pytest.fixture
async def installation(postgres_url: str, temporal: TemporalGateway) -> AsyncGenerator[Installation]:
    """A database, an API and a reconciler."""
    async with installed(postgres_url, temporal) as installation:
        yield installation
