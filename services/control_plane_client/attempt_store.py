"""What an attempt keeps in the control plane beside its log: blobs, entries of its runtime, cached responses."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any
from uuid import UUID

import orjson

from runtimes.errors import ConfigurationInvalid, ControlPlaneUnavailable
from runtimes.types import Usage
from services.control_plane_client.client import ControlPlaneClient
from services.control_plane_client.models import (
    AppendEntries,
    AskSecrets,
    CacheResponse,
    Reserve,
    Reserved,
    SecretsGiven,
    Settle,
)

BYTES, JSON = "application/octet-stream", "application/json"


class AttemptStore:
    """The control plane's part of one attempt.

    Raises:
        RuntimeFailure: as `ControlPlaneClient`.
    """

    def __init__(
        self, client: ControlPlaneClient, *, organization_id: str, execution_id: str, turn: int, attempt: int
    ) -> None:
        self._client = client
        self._organization_id = organization_id
        self._path = f"/internal/v1/executions/{execution_id}"
        self._turn = turn
        self._attempt = attempt
        self._lengths: dict[str, int] = {}
        self._prefix = ""

    def named(self, prefix: str) -> "AttemptStore":
        """The same store, with lists of its own."""
        mine = copy(self)
        mine._prefix = prefix
        return mine

    async def load(self, name: str) -> list[dict[str, Any]]:
        """All entries of a runtime's list, from every attempt at the turn."""
        name = f"{self._prefix}{name}"
        path = f"{self._path}/turns/{self._turn}/entries/{name}"
        entries: list[dict[str, Any]] = await self._client.get(path, orjson.loads, organization=self._organization_id)
        self._lengths[name] = len(entries)
        return entries

    async def append(self, name: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Add entries to a runtime's list; they are stored when this returns."""
        if f"{self._prefix}{name}" not in self._lengths:
            await self.load(name)
        name = f"{self._prefix}{name}"
        position = self._lengths[name]
        self._lengths[name] += len(entries)
        body = AppendEntries(
            organization_id=self._organization_id,
            name=name,
            position=position,
            entries=[dict(entry) for entry in entries],
        )
        await self._client.post(f"{self._path}/attempts/{self._attempt}/entries", body)

    async def blob(self, name: str) -> bytes:
        """A blob's bytes."""
        return await self._client.get(f"{self._path}/blobs/{name}", organization=self._organization_id)

    async def json_blob(self, name: str) -> Any:
        """A blob that holds JSON."""
        return orjson.loads(await self.blob(name))

    async def keep_blob(self, data: bytes) -> None:
        """Keep bytes by their SHA-256."""
        await self._client.put(f"{self._path}/blobs", data, BYTES, organization=self._organization_id)

    async def offer(self, tools: bytes) -> None:
        """Keep the list of the turn's tools, for all later attempts at it."""
        path = f"{self._path}/attempts/{self._attempt}/offered"
        await self._client.put(path, tools, BYTES, organization=self._organization_id)

    async def secrets(self) -> SecretsGiven:
        """The secrets that the attempt's agent refers to."""
        path, body = f"{self._path}/attempts/{self._attempt}/secrets", AskSecrets(organization_id=self._organization_id)
        try:
            return await self._client.post(path, body, SecretsGiven.model_validate_json)
        except ConfigurationInvalid as failure:
            # An API that is older than the worker, and is to be replaced soon.
            raise ControlPlaneUnavailable(f"The API gives no secrets: {failure.message}") from failure

    async def reserve(self, wanted: Reserve) -> Reserved:
        """Reserve a call from the budget that the execution shares."""
        body = wanted.model_copy(update={"organization_id": self._organization_id})
        path = f"{self._path}/attempts/{self._attempt}/reservations"
        return await self._client.post(path, body, Reserved.model_validate_json)

    async def settle(self, reservation: UUID, usage: Usage) -> None:
        """Say what a reserved call has used."""
        body = Settle(organization_id=self._organization_id, id=reservation, usage=usage)
        await self._client.post(f"{self._path}/reservations", body)

    async def get(self, digest: str) -> Any | None:
        """The cached answer to a request; None if there is none."""
        return await self._client.get(f"{self._path}/cache/{digest}", orjson.loads, organization=self._organization_id)

    async def put(self, digest: str, response: Any, ttl: float) -> None:
        """Keep an answer for `ttl` seconds, for other executions of this version of the agent."""
        body = CacheResponse(organization_id=self._organization_id, response=response, ttl_seconds=ttl)
        await self._client.put(f"{self._path}/cache/{digest}", body.model_dump_json().encode(), JSON)
