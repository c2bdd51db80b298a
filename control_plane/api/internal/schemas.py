"""Inputs that come to us through Temporal."""

from uuid import UUID

from control_plane.api.executions.schemas import ExecutionCreate


class WorkflowInput(ExecutionCreate):
    """What a Temporal client writes to start an execution: what the REST API takes, and whose it is."""

    execution_id: UUID | None = None
    organization_id: UUID | None = None
