"""A tool as Holdfast knows it, whatever toolset it comes from."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from runtimes.types import Effect
from services.metrics import OTHER


class ApprovalRule(StrEnum):
    """Whether a human decides before a call runs; `policy` asks only for calls that the toolset's policy names."""

    NEVER = "never"
    ALWAYS = "always"
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Call:
    """One call; `idempotency_key` is the same on every attempt."""

    tool_call_id: str
    idempotency_key: str


#: Takes arguments that fit the schema; gives the text for the model. It may raise. Cancelling it stops the tool
#: and all that it started.
Handler = Callable[[Mapping[str, Any], Call], Awaitable[str]]


class ToolFailed(Exception):
    """A tool could not do what it was asked; the message is for the model and says how to do better."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool; `timeout_seconds` is for one call, `output_limit` in characters.

    `asks(arguments)` is the policy of `ApprovalRule.POLICY`, which without one asks for all but reading; `writes` says
    that a call may change the workspace, which is then kept before its result is committed. `label` is what metrics
    call the tool: no name that agents or MCP servers chose. `gone` tells the model why a tool that the turn has
    offered cannot be called any more, unless `again` finds it; `stops` is whether cancelling a call ends it.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    handler: Handler
    effect: Effect = Effect.AT_MOST_ONCE
    approval: ApprovalRule = ApprovalRule.NEVER
    asks: Callable[[Mapping[str, Any]], bool] | None = None
    writes: bool = False
    timeout_seconds: float = 120.0
    output_limit: int = 50_000
    label: str = OTHER
    gone: str = ""
    again: "Callable[[], Awaitable[ToolSpec]] | None" = None
    stops: bool = True

    def needs_approval(self, arguments: Mapping[str, Any]) -> bool:
        """Whether a human decides before this call runs."""
        if self.approval is not ApprovalRule.POLICY:
            return self.approval is ApprovalRule.ALWAYS
        return self.effect is not Effect.READ_ONLY if self.asks is None else self.asks(arguments)
