"""What the framework and the database raise becomes a problem too."""

from collections.abc import AsyncGenerator

import httpx
import pytest
from fastapi import FastAPI

from control_plane.key_text import new_key
from tests.control_plane.api.organizations import code


@pytest.fixture
async def client(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {new_key()}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost", headers=headers
    ) as client:
        yield client


async def test_a_database_that_does_not_answer_is_an_outage_that_passes(client: httpx.AsyncClient) -> None:
    answers = [await client.get(path) for path in ("/api/v1/agents", "/health/ready")]

    assert [code(answer) for answer in answers] == [(503, "database_unavailable")] * 2
    assert answers[0].headers["retry-after"] == "1"
    assert "nobody" not in answers[0].text


async def test_the_process_is_live_without_its_database(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/nothing", "/api/v1/agents/", "/api/v1/%2e%2e/etc/passwd", "/api/v1"])
async def test_unknown_paths_are_not_found(client: httpx.AsyncClient, path: str) -> None:
    assert code(await client.get(path)) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/v1/agents", "GET, POST"),
        ("TRACE", "/api/v1/agents", "GET, POST"),
        ("POST", "/api/v1/agents/x", "DELETE, GET, PATCH"),
        ("BREW", "/api/v1/runtimes", "GET"),
        ("DELETE", "/health/live", "GET"),
    ],
)
async def test_other_methods_are_told_which_are_allowed(
    client: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    answer = await client.request(method, path)

    assert code(answer) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allowed
