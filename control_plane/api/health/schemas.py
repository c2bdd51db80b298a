"""Shapes of health."""

from typing import Literal

from pydantic import BaseModel


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class RuntimeHealth(BaseModel):
    """Runtimes, with whether a live worker runs them."""

    runtimes: dict[str, bool]


class ModelHealth(BaseModel):
    """Providers, with whether a live worker can call them."""

    providers: dict[str, bool]
