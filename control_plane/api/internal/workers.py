"""Live announcements of workers."""

from uuid import UUID

from sqlalchemy import Boolean, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.api.credentials import Principal
from control_plane.errors import NotFound
from db.models.workers import Worker
from services.control_plane_client.models import AnnounceWorker, WorkerAnnounced


async def announce(
    connection: AsyncConnection, organization_id: UUID, request: AnnounceWorker
) -> tuple[WorkerAnnounced, bool]:
    """Keep the worker's latest sign of life; tell it whether somebody wants it to drain, and us whether it is new.

    Raises:
        NotFound: another organization runs a worker of that id.
    """
    values = request.model_dump(exclude={"worker_id"}) | {"organization_id": organization_id}
    statement = insert(Worker).values(id=request.worker_id, **values)
    upsert = statement.on_conflict_do_update(
        index_elements=[Worker.id],
        set_=values | {"seen_at": func.now()},
        where=Worker.organization_id == organization_id,
    )
    # PostgreSQL's own mark of a row that nobody has updated.
    is_new = literal_column("xmax = 0", Boolean).label("is_new")
    kept = (await connection.execute(upsert.returning(Worker.drain_requested_at, is_new))).first()
    if kept is None:
        raise NotFound("There is no such worker.")
    return WorkerAnnounced(drain=kept.drain_requested_at is not None), kept.is_new


async def is_to_drain(connection: AsyncConnection, worker_id: str) -> bool:
    """Whether somebody has asked for the worker's end."""
    query = select(Worker.drain_requested_at).where(Worker.id == worker_id)
    return (await connection.execute(query)).scalar_one_or_none() is not None


async def require_worker(connection: AsyncConnection, principal: Principal, worker_id: str) -> None:
    """Accept a worker that announced itself with a key of the same organization; the operator's sees all.

    Raises:
        NotFound: there is none.
    """
    query = select(Worker.organization_id).where(Worker.id == worker_id)
    owner = (await connection.execute(query)).scalar_one_or_none()
    if owner is None or not (principal.operator or owner == principal.organization_id):
        raise NotFound("There is no such worker.")
