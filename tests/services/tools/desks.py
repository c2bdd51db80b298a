"""A desk whose journal is in memory."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn
from uuid import UUID

from prometheus_client import CollectorRegistry

from runtimes.errors import RuntimeFailure
from runtimes.types import Tool, ToolCallCompleted, ToolCallStarted, Usage
from services.budget import Budget, Limits
from services.control_plane_client.models import Decision, NewEvent, Step
from services.journal import Journal
from services.metrics import TurnMetrics
from services.tools.desk import TurnDesk, UnknownOutcome
from services.tools.gateway import ToolGateway
from services.tools.spec import ToolSpec
from services.turn_control import Question


@dataclass(slots=True)
class Remembering:
    """Everything that a desk talks to: it remembers what it hears; `refusal` is raised at every write."""

    heard: list[ToolCallStarted | ToolCallCompleted] = field(default_factory=list[ToolCallStarted | ToolCallCompleted])
    steps: dict[int, Step] = field(default_factory=dict[int, Step])
    events: list[NewEvent] = field(default_factory=list[NewEvent])
    used: list[UUID] = field(default_factory=list[UUID])
    asked: list[Question] = field(default_factory=list[Question])
    aborted: list[RuntimeFailure] = field(default_factory=list[RuntimeFailure])
    refusal: RuntimeFailure | None = None

    def entered(self, call: ToolCallStarted) -> None:
        self.heard.append(call)

    def left(self, call: ToolCallCompleted) -> None:
        self.heard.append(call)

    async def write(self, step: Step, events: Sequence[NewEvent] = (), *, used: Sequence[UUID] = ()) -> None:
        if self.refusal is not None:
            raise self.refusal
        before = self.steps.get(step.ordinal)
        request = before.request if before is not None and step.request is None else step.request
        self.steps[step.ordinal] = step.model_copy(update={"request": request})
        self.events += events
        self.used += used

    def abort(self, failure: RuntimeFailure) -> None:
        self.aborted.append(failure)

    async def ask(self, question: Question) -> NoReturn:
        self.asked.append(question)
        await asyncio.Event().wait()
        raise AssertionError

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]


async def no_blob(name: str) -> Any:
    raise AssertionError(f"There is no blob {name}.")


def desk_of(
    memory: Remembering,
    *,
    attempt: int = 1,
    recorded: Sequence[Step] = (),
    decisions: Sequence[Decision] = (),
    limits: Limits | None = None,
    unknown: UnknownOutcome = UnknownOutcome.TELL_MODEL,
    pause_on_budget: bool = False,
) -> TurnDesk:
    return TurnDesk(
        execution_id="execution",
        turn=1,
        journal=Journal(attempt, recorded, memory, no_blob, TurnMetrics(CollectorRegistry())),
        budget=Budget(limits or Limits(), Usage()),
        control=memory,
        observer=memory,
        decisions=decisions,
        unknown=unknown,
        pause_on_budget=pause_on_budget,
    )


def tools_of(specs: Sequence[ToolSpec], memory: Remembering | None = None) -> list[Tool]:
    return ToolGateway(specs, desk_of(memory or Remembering())).tools()
