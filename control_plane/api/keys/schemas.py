"""Shapes of API keys."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from control_plane.api.schemas import NextCursor, Strict
from db.enums import Scope

EXAMPLE: dict[str, Any] = {"name": "dashboard", "scopes": ["read"], "expires_at": "2099-12-31T23:59:59Z"}

#: Moments near the calendar's end cannot be shown in every time zone.
LATEST = datetime(9999, 1, 1, tzinfo=UTC)


def _to_come(moment: datetime) -> datetime:
    if not datetime.now(UTC) < moment < LATEST:
        raise PydanticCustomError("moment_is_past", "The moment must be in the future, before the year 9999.")
    return moment


class CreateKey(Strict):
    """A new key; `admin` implies `read` and `write`, `worker` opens the worker API."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    name: Annotated[str, Field(min_length=1, max_length=200, description="What it is for.")]
    scopes: Annotated[set[Scope], Field(min_length=1)]
    expires_at: Annotated[
        Annotated[AwareDatetime, AfterValidator(_to_come)] | None, Field(description="Never, if it is left out.")
    ] = None


class Key(BaseModel):
    """A key without its secret; `prefix` is how the secret begins."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    prefix: str
    scopes: list[Scope]
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime


class NewKey(Key):
    """A key with its secret, which is shown this once only."""

    key: str


class KeyPage(BaseModel):
    """Keys, newest first."""

    items: list[Key]
    next_cursor: NextCursor
