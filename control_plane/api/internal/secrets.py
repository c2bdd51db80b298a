"""Secrets for the attempt that holds a turn, and for no other."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.api.secrets.service import Secrets
from control_plane.errors import AttemptFenced, NotFound
from control_plane.sealing import Keyring
from db.enums import TERMINAL
from db.sql import Sql
from services.control_plane_client.models import SecretsGiven
from services.secret_places import references_in

_HELD = Sql("""
    SELECT executions.attempt, executions.status, attempts.status AS attempt_status, agent_versions.spec
    FROM executions
    JOIN agent_versions ON agent_versions.agent_id = executions.agent_id
        AND agent_versions.version = executions.agent_version
    LEFT JOIN attempts ON attempts.execution_id = executions.id AND attempts.attempt = executions.attempt
    WHERE executions.id = :id AND executions.organization_id = :organization_id
""")


async def secrets_of(
    connection: AsyncConnection, organization_id: UUID, execution_id: UUID, attempt: int, keyring: Keyring | None
) -> SecretsGiven:
    """The secrets that the execution's agent refers to, as it was when the execution began.

    Raises:
        NotFound: the organization has no such execution.
        AttemptFenced: the attempt is over.
    """
    row = (await _HELD.execute(connection, {"id": execution_id, "organization_id": organization_id})).first()
    if row is None:
        raise NotFound(f"There is no execution '{execution_id}'.")
    if row.attempt != attempt or row.attempt_status != "running" or row.status in TERMINAL:
        raise AttemptFenced("The attempt is over.")
    names = references_in(row.spec.get("toolsets") or (), row.spec.get("configuration") or {})
    return await Secrets(connection, organization_id, keyring).values(names)
