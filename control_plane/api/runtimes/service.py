"""Runtimes, from manifests and from what live workers announce."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.api.credentials import Principal
from control_plane.api.runtimes.schemas import Runtime
from control_plane.errors import NotFound, RuntimeUnknown
from db.models.workers import Worker
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.meant import meant

#: How long ago a live worker was seen at most.
LIVE = timedelta(seconds=30)

Manifests = Mapping[str, RuntimeManifest]
Workers = Sequence[Row[Any]]


async def live_workers(connection: AsyncConnection, principal: Principal) -> Workers:
    """The workers that serve the organization: its own, and the operator's."""
    query = (
        select(Worker.__table__)
        .where(
            Worker.seen_at > func.now() - LIVE,
            or_(
                Worker.organization_id == principal.organization_id,
                Worker.organization_id == func.holdfast_operator_organization(),
            ),
        )
        .order_by(Worker.pool, Worker.id)
    )
    return (await connection.execute(query)).all()


def check_runtime(name: str, manifests: Manifests, workers: Workers, field: str = "/runtime") -> None:
    """Accept what is known or live; `field` is where it is named.

    Raises:
        RuntimeUnknown: with what was perhaps meant.
    """
    known = {*manifests, *_announced(workers)}
    if name in known:
        return
    hint = f"{meant(name, known)} Known: {', '.join(sorted(known))}.".strip()
    raise RuntimeUnknown(f"There is no runtime '{name}'.", hint=hint, field=field)


def list_runtimes(manifests: Manifests, workers: Workers) -> list[Runtime]:
    """All that agents may name, by name."""
    announced = _announced(workers)
    return [_runtime(name, manifests.get(name), announced.get(name, [])) for name in sorted({*manifests, *announced})]


def get_runtime(name: str, manifests: Manifests, workers: Workers) -> Runtime:
    """One runtime.

    Raises:
        NotFound: there is none of that name.
    """
    for runtime in list_runtimes(manifests, workers):
        if runtime.name == name:
            return runtime
    raise NotFound("There is no runtime of this name.", hint="See: holdfast runtimes list")


def _announced(workers: Workers) -> dict[str, list[tuple[Row[Any], Mapping[str, Any]]]]:
    found: dict[str, list[tuple[Row[Any], Mapping[str, Any]]]] = defaultdict(list)
    for worker in workers:
        for runtime in worker.runtimes:
            found[runtime["name"]].append((worker, runtime))
    return found


def _runtime(
    name: str, manifest: RuntimeManifest | None, announced: Sequence[tuple[Row[Any], Mapping[str, Any]]]
) -> Runtime:
    return Runtime(
        name=name,
        **(_described(manifest) if manifest else _as_announced(announced[0][1])),
        live=bool(announced),
        workers=len(announced),
        installed_versions=sorted({runtime["version"] for _, runtime in announced}),
        pools=sorted({worker.pool for worker, _ in announced}),
    )


def _described(manifest: RuntimeManifest) -> dict[str, Any]:
    return {
        "title": manifest.title,
        "package": manifest.package,
        "versions": manifest.versions,
        "extra": manifest.extra,
        "capabilities": sorted(manifest.capabilities),
        "wires": sorted(manifest.wires),
        "settings": manifest.settings,
    }


def _as_announced(runtime: Mapping[str, Any]) -> dict[str, Any]:
    unknown: dict[str, Any] = {"package": "", "versions": "", "extra": "", "wires": [], "settings": {}}
    return unknown | {"title": runtime["title"], "capabilities": sorted(runtime["capabilities"])}
