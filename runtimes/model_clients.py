"""The vendors' SDK clients of all executions of a process, on one pool of connections."""

import httpx2
from anthropic import AsyncAnthropic

from runtimes.base import BaseRuntime, Cancellations, ControlPlane
from runtimes.openai_clients import OpenAIClients
from runtimes.types import ModelEndpoint


class ClientPool(OpenAIClients):
    """Clients of both vendors on one pool of connections."""

    def __init__(self) -> None:
        super().__init__(httpx2)

    def anthropic(self, endpoint: ModelEndpoint) -> AsyncAnthropic:
        """A client for one execution, with its token; it never retries."""
        return AsyncAnthropic(
            api_key=endpoint.api_key,
            base_url=endpoint.base_url.rstrip("/").removesuffix("/v1"),
            http_client=self._http,
            timeout=self._timeout,
            max_retries=0,
            open_telemetry=False,
        )


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
