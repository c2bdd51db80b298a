"""Shapes of secrets."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from control_plane.api.schemas import NextCursor, Strict

EXAMPLE: dict[str, Any] = {"value": "ghp_…"}

#: Characters that a value may have.
VALUE_LIMIT = 100_000


class SetSecret(Strict):
    """The value of a secret; no answer shows it."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    value: Annotated[SecretStr, Field(min_length=1, max_length=VALUE_LIMIT)]


class Secret(BaseModel):
    """A secret without its value; `moved`: it stood in a definition, and was moved out of it."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    version: int
    moved: bool
    created_at: datetime
    updated_at: datetime


class SecretPage(BaseModel):
    """Secrets by name."""

    items: list[Secret]
    next_cursor: NextCursor
