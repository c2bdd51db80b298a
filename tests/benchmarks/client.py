"""An efficient client of the REST API and of the scripted model; the driver must not be what is measured."""

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson


@dataclass(frozen=True, slots=True)
class Seen:
    """A server-sent event: when it was here (seconds since the epoch), its type, its JSON body."""

    at: float
    type: str
    body: dict[str, Any]


class ApiClient:
    """Starts executions and waits for them, over connections that stay open."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def start(self, agent: str, prompt: str) -> str:
        """Start an execution; gives its id."""
        body = orjson.dumps({"agent_id": agent, "prompt": prompt})
        headers = {"Content-Type": "application/json"}
        async with self._session.post("/api/v1/executions", data=body, headers=headers) as response:
            answer = await response.read()
            assert response.status == 201, answer
        return orjson.loads(answer)["id"]

    async def result(self, execution: str) -> dict[str, Any]:
        """The result, waited for."""
        while True:
            async with self._session.get(f"/api/v1/executions/{execution}/result?wait=60") as response:
                answer = await response.read()
            assert response.status in (200, 202), answer
            if response.status == 200:
                return orjson.loads(answer)

    async def cancel(self, execution: str) -> None:
        """Cancel an execution; returns when that was accepted."""
        async with self._session.post(f"/api/v1/executions/{execution}/cancel") as response:
            assert response.status == 202, await response.text()

    async def run(self, agent: str, prompt: str) -> str:
        """Start an execution and wait for its success; gives its id."""
        execution = await self.start(agent, prompt)
        result = await self.result(execution)
        assert result["success"], result
        return execution

    async def events(self, execution: str, *, follow: bool = True) -> AsyncGenerator[Seen]:
        """The event log, as it comes."""
        url = f"/api/v1/executions/{execution}/events?follow={str(follow).lower()}"
        async with self._session.get(url, timeout=aiohttp.ClientTimeout(total=60)) as response:
            assert response.status == 200, await response.text()
            async for line in response.content:
                if line.startswith(b"data:"):
                    body = orjson.loads(line[5:])
                    yield Seen(time.time(), body["type"], body)


class ModelClient:
    """Calls the scripted model without anything in between."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def first_token(self, prompt: str) -> float:
        """Seconds from the request of a streamed answer to its first text."""
        body = {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": prompt}]}
        began, first = time.perf_counter(), 0.0
        async with self._session.post("/v1/chat/completions", json=body) as response:
            async for line in response.content:
                if not first and _has_text(line):
                    first = time.perf_counter()
        assert first, "the scripted model sent no text"
        return first - began

    async def call(self, contains: str) -> dict[str, Any]:
        """What the scripted model noted of its one call with this prompt."""
        (noted,) = await self.calls(contains)
        return noted

    async def calls(self, contains: str) -> list[dict[str, Any]]:
        """What the scripted model noted of its calls with this piece of the prompt."""
        async with self._session.get("/requests", params={"contains": contains}) as response:
            return (await response.json())["requests"]


def _has_text(line: bytes) -> bool:
    if not line.startswith(b"data: {"):
        return False
    choices = orjson.loads(line[6:])["choices"]
    return bool(choices and choices[0]["delta"].get("content"))
