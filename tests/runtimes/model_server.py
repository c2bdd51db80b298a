"""The scripted model as a process of its own, over real HTTP."""

import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from runtimes.types import ModelEndpoint, Wire
from tests.stack import free_port

_SERVE = (
    "import asyncio, sys; from services.scripted_model.server import serve;"
    "asyncio.run(serve('127.0.0.1', int(sys.argv[1])))"
)


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A running scripted model."""

    url: str

    def endpoint(self, wire: Wire, api_key: str = "sk-test-0123456789") -> ModelEndpoint:
        path = "/v1" if wire is Wire.OPENAI else ""
        return ModelEndpoint(f"{self.url}{path}", api_key, wire, "scripted-1", "local")

    async def requests(self, contains: str) -> list[dict[str, Any]]:
        """The model calls whose prompt has the text."""
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as client:
            return (await client.get("/requests", params={"contains": contains})).json()["requests"]


@contextmanager
def serving() -> Generator[ModelServer]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", _SERVE, str(port)])
    try:
        server = ModelServer(f"http://127.0.0.1:{port}")
        _wait_until_up(server.url)
        yield server
    finally:
        process.terminate()
        process.wait()


def _wait_until_up(url: str) -> None:
    for _ in range(600):
        try:
            httpx.get(f"{url}/health")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"{url} does not answer.")
