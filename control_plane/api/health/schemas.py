"""Shapes of health."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(Health):
    """The process can work; `installation_id` is of the database that it has."""

    installation_id: UUID


class RuntimeHealth(BaseModel):
    """Runtimes, with whether a live worker runs them."""

    runtimes: dict[str, bool]


class ModelHealth(BaseModel):
    """Providers, with whether a live worker can call them."""

    providers: dict[str, bool]
