"""A model gateway in front of the scripted model, and what a turn gives it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn
from uuid import UUID, uuid4

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from prometheus_client import CollectorRegistry

from runtimes.errors import RuntimeFailure
from runtimes.types import ModelEndpoint, Usage, Wire
from services.budget import Budget, Limits
from services.control_plane_client.models import NewEvent, Step, StepKind, StepStatus
from services.journal import Journal
from services.metrics import TurnMetrics
from services.model_gateway.server import ModelGateway
from services.model_gateway.sessions import ModelSession
from services.turn_control import Question
from tests.runtimes.model_server import ModelServer

KEY = "sk-real-0123456789abcdef"


@dataclass(slots=True)
class Steps:
    """The journal's far end: what is stored, by ordinal. `before` is awaited before a step with the status is."""

    stored: dict[int, Step] = field(default_factory=dict[int, Step])
    writes: list[Step] = field(default_factory=list[Step])
    events: list[NewEvent] = field(default_factory=list[NewEvent])
    before: dict[StepStatus, Callable[[], Awaitable[Any]]] = field(
        default_factory=dict[StepStatus, Callable[[], Awaitable[Any]]]
    )

    async def write(self, step: Step, events: Sequence[NewEvent] = (), *, used: Sequence[UUID] = ()) -> None:
        if step.status in self.before:
            await self.before[step.status]()
        self.writes.append(step)
        self.events += events
        request = step.request if step.request is not None else getattr(self.stored.get(step.ordinal), "request", None)
        self.stored[step.ordinal] = step.model_copy(update={"request": request})

    @property
    def steps(self) -> list[Step]:
        """What a later attempt reads back: through JSON, as from the control plane."""
        stored = [self.stored[ordinal] for ordinal in sorted(self.stored)]
        return [Step.model_validate_json(step.model_dump_json()) for step in stored]

    def of(self, status: StepStatus) -> list[Step]:
        return [step for step in self.steps if step.status is status]

    @property
    def done(self) -> Step:
        (step,) = self.of(StepStatus.DONE)
        return step

    @property
    def usage(self) -> Usage:
        return sum((step.usage for step in self.steps), start=Usage())

    async def until_written(self, status: StepStatus) -> Step:
        for _ in range(500):
            if found := [step for step in self.writes if step.status is status]:
                return found[-1]
            await asyncio.sleep(0.01)
        raise AssertionError(f"no step became {status}: {self.writes}")


@dataclass(slots=True)
class Control:
    """A turn that remembers what was done to it."""

    failure: RuntimeFailure | None = None
    questions: list[Question] = field(default_factory=list[Question])

    def abort(self, failure: RuntimeFailure) -> None:
        self.failure = self.failure or failure

    async def ask(self, question: Question) -> NoReturn:
        self.questions.append(question)
        await asyncio.Event().wait()
        raise AssertionError("nobody waits that long")


async def _no_blob(digest: str) -> Any:
    raise AssertionError(f"there is no blob {digest}")


@dataclass(slots=True)
class Turn:
    """One attempt at a turn, with the gateway open to it."""

    session: ModelSession
    endpoint: ModelEndpoint
    steps: Steps
    control: Control
    marker: str
    registry: CollectorRegistry

    @property
    def client(self) -> Any:
        """The wire's own SDK, its retries left on."""
        kind = AsyncOpenAI if self.endpoint.wire is Wire.OPENAI else AsyncAnthropic
        return kind(base_url=self.endpoint.base_url, api_key=self.endpoint.api_key, max_retries=2)

    async def ask(self, script: str, *, stream: bool = False, **more: Any) -> "Answer":
        """Call the model as a framework does, with its wire's SDK."""
        ask = _ask_openai if self.endpoint.wire is Wire.OPENAI else _ask_anthropic
        return await ask(self, f"{self.marker} {script}", stream=stream, **more)


@dataclass(slots=True)
class Answer:
    """What a framework saw: the final message, without what the SDK itself adds."""

    text: str
    message: dict[str, Any]


async def _ask_openai(turn: Turn, prompt: str, *, stream: bool, **more: Any) -> Answer:
    body: dict[str, Any] = {"model": turn.endpoint.model, "messages": [{"role": "user", "content": prompt}], **more}
    async with turn.client as client:
        if stream:
            async with client.chat.completions.stream(**body) as events:
                async for _ in events:
                    pass
                completion: Any = await events.get_final_completion()
        else:
            completion = await client.chat.completions.create(**body)
    return Answer(completion.choices[0].message.content or "", completion.model_dump())


async def _ask_anthropic(turn: Turn, prompt: str, *, stream: bool, **more: Any) -> Answer:
    messages = [{"role": "user", "content": prompt}]
    body: dict[str, Any] = {"model": turn.endpoint.model, "messages": messages, "max_tokens": 1000, **more}
    async with turn.client as client:
        if stream:
            async with client.messages.stream(**body) as events:
                message: Any = await events.get_final_message()
        else:
            message = await client.messages.create(**body)
    text = "".join(block.text for block in message.content if block.type == "text")
    return Answer(text, message.model_dump())


@dataclass(slots=True)
class Turns:
    """Opens the gateway to attempts at turns, on one wire."""

    gateway: ModelGateway
    model: ModelServer
    wire: Wire
    model_id: str = ""

    @asynccontextmanager
    async def open(
        self,
        *,
        recorded: Sequence[Step] = (),
        limits: Limits | None = None,
        marker: str = "",
        steps: Steps | None = None,
        **session: Any,
    ) -> AsyncGenerator[Turn]:
        steps, control = steps or Steps(), Control()
        for step in recorded:
            steps.stored[step.ordinal] = step
        registry = CollectorRegistry()
        journal = Journal(2 if recorded else 1, recorded, steps, _no_blob, TurnMetrics(registry))
        model_id = session.pop("model_id", self.model_id or f"{self.wire}/scripted-1")
        opened = ModelSession(journal, Budget(limits or Limits(), Usage()), control, model_id, **session)
        async with self.gateway.session(opened) as endpoint:
            yield Turn(opened, endpoint, steps, control, marker or uuid4().hex, registry)

    async def calls(self, turn: Turn, *, until: str = "") -> list[dict[str, Any]]:
        """The provider's own log of a turn's calls; waits up to 2 s for the last one's outcome."""
        requests: list[dict[str, Any]] = []
        for _ in range(100):
            requests = await self.model.requests(turn.marker)
            if not until or (requests and requests[-1]["outcome"] == until):
                return requests
            await asyncio.sleep(0.02)
        raise AssertionError(f"{requests} never became {until}")


def model_steps(steps: Steps) -> list[tuple[StepStatus, int]]:
    """Status and calls of each step."""
    assert all(step.kind is StepKind.MODEL_CALL for step in steps.steps)
    return [(step.status, step.usage.model_calls) for step in steps.steps]
