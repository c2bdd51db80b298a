"""What an agent's configuration may say about its model calls."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, le=3600, strict=False)]


class ModelTimeouts(BaseModel):
    """How long a provider may be silent; an answer that is not streamed is silent until it is whole."""

    model_config = ConfigDict(extra="forbid", strict=True)

    connect_seconds: Seconds = 5.0
    first_byte_seconds: Seconds | None = None
    idle_seconds: Seconds = 60.0

    def first_byte(self, *, stream: bool) -> float:
        """The patience for an answer's first byte, in seconds."""
        return self.first_byte_seconds or (120.0 if stream else 540.0)


class ModelRetries(BaseModel):
    """How often a model is tried in one call, and how long the waits between may be together."""

    model_config = ConfigDict(extra="forbid", strict=True)

    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    max_wait_seconds: Annotated[float, Field(ge=0, le=3600, strict=False)] = 60.0


class CachePolicy(BaseModel):
    """Answer a request that is exactly like an earlier one out of a cache."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ttl_seconds: Annotated[int, Field(ge=1, le=30 * 86_400)]


class ModelPolicy(BaseModel):
    """Fallbacks, times, retries and cache of an agent's model calls.

    `model_fallbacks` are tried in their order when the agent's own model cannot answer; all speak one wire.
    """

    model_config = ConfigDict(extra="ignore", strict=True)

    model_fallbacks: Annotated[list[str], Field(max_length=10)] = Field(default_factory=list[str])
    model_timeouts: ModelTimeouts = Field(default_factory=ModelTimeouts)
    model_retries: ModelRetries = Field(default_factory=ModelRetries)
    response_cache: CachePolicy | None = None
