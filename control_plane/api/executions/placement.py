"""Where executions run: the resolver's decision, by what is live now."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.api.runtimes.description import manifests_of
from control_plane.api.runtimes.liveness import LiveWorkers, Seen
from control_plane.api.runtimes.service import Manifests
from control_plane.errors import PoolMissing, RuntimeUnfit
from runtimes.frameworks import FrameworksConfig
from runtimes.resolver import Resolution, RuntimeResolver, Wanted, used_capabilities
from runtimes.templates import Template
from services.control_plane_client.models import AgentSpec


@dataclass(frozen=True, slots=True)
class Definition:
    """An agent's version, and the template that it comes from, where there still is one."""

    spec: AgentSpec
    template: Template | None = None

    def wanted(self, runtime: str | None = None, output_schema: Mapping[str, Any] | None = None) -> Wanted:
        """What an execution of it needs; a start may name the runtime, and a schema for the answer."""
        required = used_capabilities(self.spec.toolsets, self.spec.configuration)
        if output_schema is not None:
            required["structured_output"] = "output_schema"
        return Wanted(
            runtime=runtime or self.spec.runtime,
            template=self.template,
            required=required,
            runtime_config=self.spec.configuration.get("runtime_config", {}),
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """Decides for one organization after the other; costs a query only now and then while pools are there."""

    manifests: Manifests
    frameworks: FrameworksConfig
    live: LiveWorkers

    async def decide(self, connection: AsyncConnection, organization_id: UUID, wanted: Wanted) -> Resolution:
        """The runtime and its pool, by what was seen live a moment ago; nothing is waited for that is there by now."""
        resolution = await self._resolve(connection, wanted, await self.live.seen(connection, organization_id))
        if resolution.pool is not None:
            return resolution
        return await self._resolve(connection, wanted, await self.live.look(connection, organization_id))

    async def _resolve(self, connection: AsyncConnection, wanted: Wanted, seen: Seen) -> Resolution:
        manifests = manifests_of(self.manifests, seen.workers)
        pools = await self.live.loaded(connection, seen.pools)
        return RuntimeResolver(manifests, self.frameworks).resolve(wanted, pools)

    async def require(
        self, connection: AsyncConnection, organization_id: UUID, wanted: Wanted, *, wait: bool
    ) -> Resolution:
        """A decision that an execution can begin with; `wait` says whether it may be without a pool.

        Raises:
            RuntimeUnfit: no runtime can run it, whatever is deployed.
            PoolMissing: no pool that fits is live, and nobody wants to wait.
        """
        resolution = await self.decide(connection, organization_id, wanted)
        if resolution.runtime is None:
            raise unfit(resolution)
        if resolution.pool is None and not wait:
            detail = f"No live pool fits. {resolution.reasons()}"
            raise PoolMissing(detail, hint=resolution.deploy or "", candidates=_lines(resolution))
        self.taken(resolution)
        return resolution

    def taken(self, resolution: Resolution) -> None:
        """An execution goes where the decision says: it counts before the next one is decided."""
        if resolution.task_queue:
            self.live.has_placed(resolution.task_queue)


def unfit(resolution: Resolution) -> RuntimeUnfit:
    """The refusal of what no runtime can run."""
    detail = f"No runtime fits. {resolution.reasons()}"
    return RuntimeUnfit(detail, hint=resolution.hint or "", candidates=_lines(resolution))


def _lines(resolution: Resolution) -> list[dict[str, Any]]:
    return [candidate.model_dump(mode="json", exclude_none=True) for candidate in resolution.candidates]
