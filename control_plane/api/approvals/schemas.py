"""Bodies of the approvals' endpoints."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt

from control_plane.api.schemas import NextCursor, Notice, Paging, Strict
from db.enums import ApprovalKind, ApprovalStatus
from runtimes.turns import MAX_LIMIT, MAX_NOTE

Note = Annotated[str, Field(max_length=MAX_NOTE, description="For the model, or for whoever reads the log.")]
Digest = Annotated[
    str | None,
    Field(max_length=200, description="Of the arguments that were seen: refused where they are others."),
]


class Deny(Strict):
    """No; the note is told to the model."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"note": "Ask the customer first."}]})

    note: Note = ""
    digest: Digest = None


class Approve(Deny):
    """Yes; of a budget, with the limit that it is raised to."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"note": "Checked."}, {"limit": 20_000}]})

    limit: Annotated[StrictInt | StrictFloat, Field(gt=0, le=MAX_LIMIT)] | None = Field(
        None, description="What a budget's limit is raised to; needed there, and nowhere else."
    )


class Approval(BaseModel):
    """A decision that a human owes, or owed.

    `detail` is what is asked about: the arguments of a call, or the limit and its present value. `key` is the tool
    call's id or the limit's name, `digest` stands for the exact arguments.
    """

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    execution_id: UUID
    agent_name: str
    turn: int
    kind: ApprovalKind
    name: str
    key: str
    digest: str
    detail: dict[str, Any]
    status: ApprovalStatus
    note: str
    limit: float | None
    decided_by: str | None
    decided_at: datetime | None
    created_at: datetime
    expires_at: datetime
    warnings: list[Notice] = Field(default_factory=list[Notice])


class ApprovalPage(BaseModel):
    """Approvals, oldest first."""

    items: list[Approval]
    next_cursor: NextCursor


class ListApprovals(Paging):
    """Which approvals to list."""

    status: ApprovalStatus | Literal["all"] = ApprovalStatus.PENDING
    execution_id: UUID | None = None
    kind: ApprovalKind | None = None
