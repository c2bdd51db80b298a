"""Our own processes in the local stack: API, workers, scripted model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import httpx
import psycopg

from control_plane.local.added import AddedRuntime
from control_plane.local.child import Service
from control_plane.local.credentials import Credentials
from control_plane.local.directory import DataDirectory
from control_plane.local.environment import (
    base_environment,
    provider_environment,
    scripted_provider,
    temporal_environment,
    worker_secrets_environment,
)
from control_plane.local.ports import LOOPBACK
from control_plane.local.processes import holdfast_command
from control_plane.local.secrets_key import secrets_key
from control_plane.local.state import Ports
from control_plane.settings import ProviderSettings, Settings
from services.control_plane_client.identity import PATH, is_proof, new_nonce

POOL = "default"
#: Seconds between two looks for a worker's announcement: each one is a connection to PostgreSQL.
WORKER_PROBE = 0.2
#: Seconds that the worker of an added runtime gets to start: frameworks are large, and machines busy.
POOL_START = 240.0
#: On top of the grace that a worker gives its turns (seconds).
DRAIN_MARGIN = 20.0


@dataclass(frozen=True)
class OwnServices:
    """Builds the services of one stack; `database_url` is the owner's, `temporal_address` host:port."""

    settings: Settings
    directory: DataDirectory
    ports: Ports
    database_url: str
    temporal_address: str
    client: httpx.AsyncClient

    @property
    def api_url(self) -> str:
        """Where the API is."""
        return f"http://{LOOPBACK}:{self.ports.api}"

    @property
    def model_url(self) -> str | None:
        """Where the scripted model is; None where a provider is configured."""
        return None if self.settings.providers else f"http://{LOOPBACK}:{self.ports.model}"

    def providers(self) -> Mapping[str, ProviderSettings]:
        """The configured providers, else the scripted model."""
        if self.model_url is None:
            return self.settings.providers
        return scripted_provider(self.model_url)

    def database_environment(self) -> dict[str, str]:
        """For the processes that speak SQL, and seal what is secret in there."""
        key = secrets_key(self.directory.secrets_key)
        return self._base() | {"HOLDFAST_DATABASE_URL": self.database_url, "HOLDFAST_SECRETS_KEY": key}

    def api(self, credentials: Credentials) -> Service:
        """The control plane's API."""
        place = {"HOLDFAST_API_HOST": LOOPBACK, "HOLDFAST_API_PORT": str(self.ports.api)}
        identity = _identity(credentials)
        return Service(
            name="api",
            title="API",
            command=(holdfast_command(), "api"),
            environment=self.database_environment() | place | identity,
            log=self.directory.log("api"),
            ready=OwnApi(self.client, self.api_url, credentials.identity_secret).is_ready,
            address=self.api_url,
            ports=(self.ports.api,),
        )

    def model(self, url: str) -> Service:
        """The scripted model."""
        return Service(
            name="model",
            title="Scripted model",
            command=(holdfast_command(), "scripted-model", "--port", str(self.ports.model)),
            environment=self._base(),
            log=self.directory.log("model"),
            ready=Page(self.client, f"{url}/health").answers,
            address=url,
            ports=(self.ports.model,),
            note=f"{url} (no provider is configured: it follows directions, it is no language model)",
        )

    def workers(self, credentials: Credentials) -> tuple[Service, Service]:
        """One worker for the workflows, one for the turns; only the latter gets the providers' keys."""
        command = (holdfast_command(), "worker")
        return (
            self._worker(
                "workflow-worker", "Workflow worker", (*command, "--workflows"), "workflows", self._keyed(credentials)
            ),
            self._worker(
                "runtime-worker", "Runtime worker", (*command, "--pool", POOL), f"pool {POOL}", self._turns(credentials)
            ),
        )

    def pool(self, credentials: Credentials, runtime: AddedRuntime) -> Service:
        """A worker for the turns of an added runtime, out of its own environment."""
        command = (str(runtime.command), "worker", "--pool", runtime.name)
        title = f"{runtime.title} worker"
        service = self._worker(runtime.process, title, command, f"pool {runtime.name}", self._turns(credentials))
        return replace(service, start_seconds=POOL_START)

    def _keyed(self, credentials: Credentials) -> dict[str, str]:
        place = {"HOLDFAST_API_URL": self.api_url, "HOLDFAST_API_KEY": credentials.worker_key}
        return self._base() | place | _identity(credentials)

    def _turns(self, credentials: Credentials) -> dict[str, str]:
        given = provider_environment(self.providers()) | worker_secrets_environment(self.settings)
        return self._keyed(credentials) | given

    def _worker(
        self, name: str, title: str, command: tuple[str, ...], serves: str, environment: dict[str, str]
    ) -> Service:
        return Service(
            name=name,
            title=title,
            command=command,
            environment=environment,
            log=self.directory.log(name),
            ready=Announcement(self.database_url).is_there,
            probe_seconds=WORKER_PROBE,
            address=serves,
            stop_seconds=self.settings.worker_grace_seconds + DRAIN_MARGIN,
        )

    def _base(self) -> dict[str, str]:
        return base_environment(self.settings) | temporal_environment(self.temporal_address)


def _identity(credentials: Credentials) -> dict[str, str]:
    """For the API, which proves itself, and for those that ask it to before they send it a key."""
    return {"HOLDFAST_IDENTITY_SECRET": credentials.identity_secret}


@dataclass(frozen=True)
class Page:
    """A readiness page over HTTP."""

    client: httpx.AsyncClient
    url: str

    async def answers(self, pid: int, started_at: datetime) -> bool:
        """Whether it says 2xx."""
        try:
            return (await self.client.get(self.url)).is_success
        except httpx.TransportError:
            return False


@dataclass(frozen=True)
class OwnApi:
    """An API that has to prove that it is ours before it counts as ready."""

    client: httpx.AsyncClient
    url: str
    secret: str

    async def is_ready(self, pid: int, started_at: datetime) -> bool:
        """Whether it is ours and its readiness page says 2xx."""
        nonce, url = new_nonce(), httpx.URL(self.url)
        try:
            proof = await self.client.get(url.join(PATH), params={"nonce": nonce})
        except httpx.TransportError:
            return False
        is_ours = is_proof(proof.text, self.secret, nonce, url.port)
        return is_ours and await Page(self.client, f"{self.url}/health/ready").answers(pid, started_at)


@dataclass(frozen=True)
class Announcement:
    """A worker's own announcement, as the API recorded it."""

    database_url: str

    async def is_there(self, pid: int, started_at: datetime) -> bool:
        """Whether the process has announced itself since it was started."""
        query = "SELECT 1 FROM workers WHERE pid = %s AND seen_at >= %s LIMIT 1"
        try:
            async with await psycopg.AsyncConnection.connect(self.database_url, connect_timeout=2) as connection:
                found = await connection.execute(query, (pid, started_at))
                return await found.fetchone() is not None
        except psycopg.Error:
            return False
