"""An observer that remembers."""

from dataclasses import dataclass, field

from runtimes.types import ToolCallCompleted, ToolCallStarted


@dataclass(slots=True)
class Remembering:
    heard: list[ToolCallStarted | ToolCallCompleted] = field(default_factory=list[ToolCallStarted | ToolCallCompleted])

    async def started(self, call: ToolCallStarted) -> None:
        self.heard.append(call)

    async def completed(self, call: ToolCallCompleted) -> None:
        self.heard.append(call)
