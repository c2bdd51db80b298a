"""Live announcements of workers."""

from uuid import UUID

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from db.models.workers import Worker
from services.control_plane_client.models import AnnounceWorker


async def announce(connection: AsyncConnection, organization_id: UUID, request: AnnounceWorker) -> None:
    """Keep the worker's latest sign of life."""
    values = request.model_dump(exclude={"worker_id"}) | {"organization_id": organization_id}
    statement = insert(Worker).values(id=request.worker_id, **values)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=[Worker.id], set_=values | {"seen_at": func.now()})
    )
