"""Shapes of secrets."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr
from pydantic_core import PydanticCustomError

from control_plane.api.schemas import NextCursor, Notice, Strict

EXAMPLE: dict[str, Any] = {"value": "ghp_…"}

STORED: dict[str, Any] = {
    "name": "TICKETS",
    "version": 1,
    "moved": False,
    "created_at": "2026-11-21T10:00:00Z",
    "updated_at": "2026-11-21T10:00:00Z",
    "warnings": [],
}

#: Characters that a value may have.
VALUE_LIMIT = 100_000


_LENGTHS: dict[str, Any] = {"minLength": 1, "maxLength": VALUE_LIMIT}


def _has_a_length(value: SecretStr) -> SecretStr:
    if not 1 <= len(value.get_secret_value()) <= VALUE_LIMIT:
        message = "The value of a secret has 1 to {most} characters."
        raise PydanticCustomError("value_invalid", message, {"most": VALUE_LIMIT})
    return value


class SetSecret(Strict):
    """The value of a secret; no answer shows it."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    value: Annotated[SecretStr, Field(json_schema_extra=_LENGTHS), AfterValidator(_has_a_length)]


class Secret(BaseModel):
    """A secret without its value; `moved`: it stood in a definition, and was moved out of it."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    version: int
    moved: bool
    created_at: datetime
    updated_at: datetime


class StoredSecret(Secret):
    """A secret as it was stored; `warnings` say where it cannot be used."""

    model_config = ConfigDict(json_schema_extra={"examples": [STORED]})

    warnings: list[Notice] = Field(default_factory=list[Notice])


class SecretPage(BaseModel):
    """Secrets by name."""

    items: list[Secret]
    next_cursor: NextCursor
