"""The API as its callers meet it: the shared stack, two organizations, and the list of its routes."""

from collections.abc import AsyncGenerator

import httpx
import pytest
from fastapi import FastAPI

from control_plane.api.app import create_app
from control_plane.api.credentials import Credentials
from control_plane.api.state import ApiState
from control_plane.events.hub import EventHub
from control_plane.gateway import TemporalGateway
from control_plane.settings import Settings
from control_plane.temporal import connect
from db.session import Database, create_engine
from tests.control_plane.api.organizations import Organization, new_organization, operator
from tests.stack import Stack

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture(scope="session")
async def app() -> AsyncGenerator[FastAPI]:
    """The application to look at; its database and its Temporal do not exist."""
    settings = Settings(database_url=NOWHERE)  # pyright: ignore[reportArgumentType]
    database = Database(create_engine(NOWHERE, role=None, pool_size=1))
    gateway = TemporalGateway(await connect(lazy=True))
    yield create_app(ApiState(settings, database, Credentials(database), gateway, EventHub(NOWHERE)))
    await database.close()


@pytest.fixture(scope="session")
async def ours(stack: Stack) -> Organization:
    """The operator's organization."""
    return await operator(stack.database_url)


@pytest.fixture(scope="session")
async def theirs(stack: Stack) -> Organization:
    """Another organization."""
    return await new_organization(stack.database_url, "other")


@pytest.fixture(scope="session")
async def nobody(stack: Stack) -> AsyncGenerator[httpx.AsyncClient]:
    """A client without a key; tests give it one per request."""
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=70, trust_env=False) as client:
        yield client
