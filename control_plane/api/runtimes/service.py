"""Runtimes, from manifests and from what live workers announce."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.api.credentials import Principal
from control_plane.api.runtimes.description import announced_runtimes, describe
from control_plane.api.runtimes.schemas import Runtime
from control_plane.errors import NotFound, RuntimeUnknown
from db.models.workers import Worker
from runtimes.manifests.manifest import RUNTIME_NAME
from runtimes.meant import meant
from runtimes.registry import RuntimeRegistry

#: How long ago a live worker was seen at most.
LIVE = timedelta(seconds=30)

Manifests = RuntimeRegistry
Workers = Sequence[Row[Any]]


async def live_workers(connection: AsyncConnection, principal: Principal) -> Workers:
    """The workers that serve the caller's organization."""
    return await workers_of(connection, principal.organization_id)


async def workers_of(connection: AsyncConnection, organization_id: UUID) -> Workers:
    """The workers that serve an organization: its own, and the operator's."""
    query = (
        select(Worker.__table__)
        .where(
            Worker.seen_at > func.now() - LIVE,
            or_(
                Worker.organization_id == organization_id,
                Worker.organization_id == func.holdfast_operator_organization(),
            ),
        )
        .order_by(Worker.pool, Worker.id)
    )
    return (await connection.execute(query)).all()


def check_runtime(
    name: str, manifests: Manifests, workers: Workers, field: str = "/runtime", *, may_come: bool = False
) -> None:
    """Accept what is known or live; `field` is where it is named.

    With `may_come` accept also a name that is like none of those, and that a manifest can have: it is a plugin's whose
    worker is not there yet.

    Raises:
        RuntimeUnknown: with what was perhaps meant.
    """
    known = {*manifests, *announced_runtimes(workers)}
    close = meant(name, known)
    if name in known or (may_come and not close and re.fullmatch(RUNTIME_NAME, name)):
        return
    hint = f"{close} Known: {', '.join(sorted(known))}.".strip()
    raise RuntimeUnknown(f"There is no runtime '{name}'.", hint=hint, field=field)


def list_runtimes(manifests: Manifests, workers: Workers) -> list[Runtime]:
    """All that agents may name, by name."""
    announced = announced_runtimes(workers)
    return [describe(name, manifests, announced.get(name, [])) for name in sorted({*manifests, *announced})]


def get_runtime(name: str, manifests: Manifests, workers: Workers) -> Runtime:
    """One runtime.

    Raises:
        NotFound: there is none of that name.
    """
    for runtime in list_runtimes(manifests, workers):
        if runtime.name == name:
            return runtime
    raise NotFound("There is no runtime of this name.", hint="See: holdfast runtimes list")
