"""The vendors' SDK clients of all executions of a process, on one pool of connections."""

import httpx2
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from runtimes.base import BaseRuntime, Cancellations, ControlPlane
from runtimes.types import ModelEndpoint

#: How long an answer may take is the model gateway's affair: it waits, retries and gives up.
_TIMEOUT = httpx2.Timeout(None, connect=10)


class ClientPool:
    """One pool of connections to the model gateway; an SDK client on top of it costs 0.1 ms."""

    def __init__(self) -> None:
        self._http = httpx2.AsyncClient(
            trust_env=False,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=100),
        )

    def openai(self, endpoint: ModelEndpoint) -> AsyncOpenAI:
        """A client for one execution, with its token; it never retries."""
        client = AsyncOpenAI(
            api_key=endpoint.api_key,
            base_url=endpoint.base_url,
            http_client=self._http,
            timeout=_TIMEOUT,
            max_retries=0,
        )
        client.organization = client.project = client.admin_api_key = None
        return client

    def anthropic(self, endpoint: ModelEndpoint) -> AsyncAnthropic:
        """A client for one execution, with its token; it never retries."""
        return AsyncAnthropic(
            api_key=endpoint.api_key,
            base_url=endpoint.base_url.rstrip("/").removesuffix("/v1"),
            http_client=self._http,
            timeout=_TIMEOUT,
            max_retries=0,
            open_telemetry=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()


class PooledRuntime(BaseRuntime):
    """A runtime whose framework calls models through the vendors' SDKs, on one pool for the process."""

    def __init__(
        self,
        control_plane_client: ControlPlane | None = None,
        cancellation_manager: Cancellations | None = None,
        shared: ClientPool | None = None,
    ) -> None:
        super().__init__(control_plane_client, cancellation_manager, shared)
        self._clients = shared or ClientPool()

    @classmethod
    def share(cls) -> ClientPool:
        """One pool of connections."""
        return ClientPool()
