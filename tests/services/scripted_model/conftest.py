"""The provider as its own process, and the SDKs that talk to it over loopback."""

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from tests.stack import free_port

_SERVE = "import sys, uvloop; from services.scripted_model.server import serve; uvloop.run(serve('127.0.0.1', {port}))"


@dataclass
class Provider:
    process: Process
    http: httpx.AsyncClient

    @property
    def url(self) -> str:
        return str(self.http.base_url).rstrip("/")

    async def requests(self, **filters: str) -> list[dict[str, Any]]:
        found = await self.http.get("/requests", params=filters)
        return found.json()["requests"]

    async def last_request(self, contains: str, outcome: str) -> dict[str, Any]:
        """The newest request with that text in its prompt, as soon as it has come to that outcome."""
        async with asyncio.timeout(10):
            while True:
                found = await self.requests(contains=contains)
                if found and found[-1]["outcome"] == outcome:
                    return found[-1]
                await asyncio.sleep(0.02)


@asynccontextmanager
async def launched() -> AsyncGenerator[Provider]:
    """Start a provider and wait until it answers."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _SERVE.format(port=port))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
        try:
            await _until_healthy(http)
            yield Provider(process, http)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


@pytest.fixture(scope="session")
async def provider() -> AsyncGenerator[Provider]:
    async with launched() as provider:
        yield provider


@pytest.fixture(scope="session")
async def openai(provider: Provider) -> AsyncGenerator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
async def anthropic(provider: Provider) -> AsyncGenerator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=provider.url, api_key="any", max_retries=0) as client:
        yield client


async def _until_healthy(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await http.get("/health")
                return
            except httpx.ConnectError:
                await asyncio.sleep(0.05)
