"""The contract of a runtime, and the base class that derives it from one method."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, ClassVar, Protocol

from runtimes.errors import RuntimeCrashed, RuntimeFailure
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.types import (
    Capability,
    RuntimeEvent,
    RuntimeExecutionContext,
    RuntimeExecutionResult,
    TextDelta,
    ToolCallCompleted,
    TurnFinished,
)


@dataclass(slots=True)
class TurnFigures:
    """What came out of a turn so far: events, pieces of text, tool calls that the framework ran itself, and when."""

    began: float = field(default_factory=perf_counter)
    latest: float = 0.0
    first_text: float | None = None
    events: int = 0
    texts: int = 0
    tool_calls: int = 0

    def count(self, event: RuntimeEvent) -> None:
        """An event came."""
        self.latest = perf_counter() - self.began
        self.events += 1
        self.tool_calls += isinstance(event, ToolCallCompleted)
        if isinstance(event, TextDelta):
            self.texts += 1
            self.first_text = self.latest if self.first_text is None else self.first_text

    def as_metrics(self) -> dict[str, float]:
        """By name; `seconds` to the latest event, `first_text_seconds` once there is text."""
        first = {} if self.first_text is None else {"first_text_seconds": self.first_text}
        counts = {"events": self.events, "text_deltas": self.texts, "tool_calls": self.tool_calls}
        return {"seconds": self.latest, **counts, **first}


class ControlPlane(Protocol):
    """What a runtime may ask of the control plane: nothing yet; adapters with stores of their own will."""


class Cancellations(Protocol):
    """How a runtime's own `cancel` reaches the turn that the executor runs."""

    def cancel(self, execution_id: str) -> bool:
        """Stop the execution's turn on this worker; False if none runs here."""
        ...


class Shared(Protocol):
    """What all runtimes of one kind share in a process, such as HTTP clients."""

    async def close(self) -> None: ...


class AgentRuntime(Protocol):
    """One agent framework, seen by the executor."""

    async def execute(self, context: RuntimeExecutionContext) -> RuntimeExecutionResult: ...
    def stream_execute(
        self, context: RuntimeExecutionContext, callback: Callable[[RuntimeEvent], None] | None = None
    ) -> AsyncGenerator[RuntimeEvent, None]: ...
    async def cancel(self, execution_id: str) -> bool: ...
    def supports_streaming(self) -> bool: ...
    def supports_tools(self) -> bool: ...
    def supports_mcp(self) -> bool: ...
    def get_runtime_type(self) -> str: ...
    def get_capabilities(self) -> frozenset[Capability]: ...
    def get_metrics(self, execution_id: str) -> Mapping[str, float]: ...
    def validate_configuration(self, configuration: Mapping[str, Any]) -> list[str]: ...
    async def health_check(self) -> bool: ...


class BaseRuntime(ABC):
    """Derives the whole contract from `stream`, the one method that an adapter writes."""

    manifest: ClassVar[RuntimeManifest]

    def __init__(
        self,
        control_plane_client: ControlPlane | None = None,
        cancellation_manager: Cancellations | None = None,
        shared: Any = None,
    ) -> None:
        self._control_plane = control_plane_client
        self._cancellations = cancellation_manager
        self._shared = shared
        self._turns: dict[str, TurnFigures] = {}

    @classmethod
    def share(cls) -> Shared | None:
        """Make what the runtimes of this kind share; the factory calls it once and hands it to each."""
        return None

    @abstractmethod
    def stream(self, context: RuntimeExecutionContext) -> AsyncGenerator[RuntimeEvent, None]:
        """Run one turn; end in exactly one `TurnFinished`.

        Closing the generator stops the turn and frees what it holds.

        Raises:
            RuntimeFailure: the turn failed in a way that the adapter understands.
        """

    async def execute(self, context: RuntimeExecutionContext) -> RuntimeExecutionResult:
        """Run one turn to its end and return its result; a failure is a result too.

        Usage is not in it: the gateways count.
        """
        try:
            async with aclosing(self.stream_execute(context)) as events:
                finished = [event async for event in events][-1]
        except RuntimeFailure as failure:
            return RuntimeExecutionResult(success=False, error=failure.as_error(), runtime=self.get_runtime_type())
        assert isinstance(finished, TurnFinished)
        return RuntimeExecutionResult(
            success=True,
            response=finished.response,
            finish_reason=finished.finish_reason,
            runtime=self.get_runtime_type(),
        )

    async def stream_execute(
        self, context: RuntimeExecutionContext, callback: Callable[[RuntimeEvent], None] | None = None
    ) -> AsyncGenerator[RuntimeEvent, None]:
        """Run one turn, event by event, and hold the adapter to the contract.

        Raises:
            RuntimeCrashed: the adapter ended without `TurnFinished`.
        """
        figures = self._turns[context.execution_id] = TurnFigures()
        async with aclosing(self.stream(context)) as events:
            async for event in events:
                figures.count(event)
                if callback is not None:
                    callback(event)
                yield event
                if isinstance(event, TurnFinished):
                    return
        raise RuntimeCrashed(f"Runtime '{self.get_runtime_type()}' ended without finishing its turn.")

    async def cancel(self, execution_id: str) -> bool:
        """Stop the execution's turn on this worker; False if none runs here."""
        return self._cancellations is not None and self._cancellations.cancel(execution_id)

    def supports_streaming(self) -> bool:
        """Whether text comes in pieces."""
        return Capability.STREAMING in self.manifest.capabilities

    def supports_tools(self) -> bool:
        """Whether the runtime can be given tools."""
        return Capability.TOOLS in self.manifest.capabilities

    def supports_mcp(self) -> bool:
        """Whether agents on it can use MCP servers; their tools come as ordinary ones."""
        return Capability.MCP in self.manifest.capabilities

    def get_runtime_type(self) -> str:
        """The runtime's name, as agents write it."""
        return self.manifest.name

    def get_capabilities(self) -> frozenset[Capability]:
        """All that the runtime can do."""
        return self.manifest.capabilities

    def get_metrics(self, execution_id: str) -> Mapping[str, float]:
        """Figures of the execution's turn on this instance, see `TurnFigures`; empty if it ran none here."""
        figures = self._turns.get(execution_id)
        return figures.as_metrics() if figures else {}

    def validate_configuration(self, configuration: Mapping[str, Any]) -> list[str]:
        """What is wrong with an agent's configuration, one sentence each; empty if nothing is."""
        return self.manifest.problems(configuration.get("runtime_config") or {})

    async def health_check(self) -> bool:
        """Whether the framework is usable in this process."""
        return True
