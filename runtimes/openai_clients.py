"""OpenAI's SDK clients of all executions of a process, on one pool of connections.

Environments differ in the generation of the SDK, and with it in the HTTP library that it takes.
"""

from typing import Any

from openai import AsyncOpenAI

from runtimes.types import ModelEndpoint

#: What the SDK would read from the environment, and send.
_FROM_THE_ENVIRONMENT = ("organization", "project", "admin_api_key")


class OpenAIClients:
    """One pool of connections to the model gateway; an SDK client on top of it costs 0.1 ms.

    `http` is the module `httpx` or `httpx2`. How long an answer may take is the model gateway's affair: it waits,
    retries and gives up.
    """

    def __init__(self, http: Any) -> None:
        self._timeout = http.Timeout(None, connect=10)
        self._http = http.AsyncClient(
            trust_env=False,
            timeout=self._timeout,
            limits=http.Limits(max_connections=None, max_keepalive_connections=100),
        )

    def openai(self, endpoint: ModelEndpoint) -> AsyncOpenAI:
        """A client for one execution, with its token; it never retries."""
        client = AsyncOpenAI(
            api_key=endpoint.api_key,
            base_url=endpoint.base_url,
            http_client=self._http,
            timeout=self._timeout,
            max_retries=0,
        )
        for name in _FROM_THE_ENVIRONMENT:
            setattr(client, name, None)
        return client

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()
