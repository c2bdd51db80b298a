"""What a worker does to a turn, told to the API by hand; and a Temporal that only remembers what it was told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from control_plane.errors import HoldfastError
from control_plane.gateway import TemporalGateway
from runtimes.turns import Admission, ExecutionEnd, FinishExecution
from runtimes.types import ExecutionError
from services.control_plane_client.models import (
    AppendEvents,
    ApprovalRequest,
    AttemptEnd,
    CloseAttempt,
    NewEvent,
    OpenAttempt,
    Step,
)
from services.turn_control import QuestionKind
from tests.control_plane.api.organizations import Organization

ARGUMENTS = {"path": "/etc/passwd", "text": "x\u202ey"}
DIGEST = "d1"


class Temporal(TemporalGateway):
    """Everything runs for ever; `failure` is raised in place of hearing."""

    def __init__(self) -> None:
        self.started: list[Admission] = []
        self.told: list[tuple[str, list[str]]] = []
        self.cancelled: list[str] = []
        self.placed: list[str] = []
        self.sent: list[str] = []
        self.failure: HoldfastError | None = None

    async def hold_namespace(self) -> None:
        """It is nobody else's."""

    async def start(self, workflow_id: str, admission: Admission, **_: object) -> None:
        self._answer()
        self.started.append(admission)

    async def answered(self, workflow_id: str, first_run_id: str | None, waits: Sequence[str]) -> None:
        self._answer()
        self.told.append((workflow_id, list(waits)))

    async def cancel(self, workflow_id: str, first_run_id: str | None) -> None:
        self._answer()
        self.cancelled.append(workflow_id)

    async def send_message(self, workflow_id: str, first_run_id: str | None, message_id: str) -> None:
        self._answer()
        self.sent.append(message_id)

    async def place(self, workflow_id: str, first_run_id: str | None) -> None:
        self._answer()
        self.placed.append(workflow_id)

    async def end_of(
        self, workflow_id: str, first_run_id: str | None
    ) -> tuple[ExecutionEnd | None, ExecutionError | None]:
        self._answer()
        return None, None

    def _answer(self) -> None:
        if self.failure is not None:
            raise self.failure


@dataclass
class Turn:
    """The first turn of an execution, in the hands of one worker."""

    http: httpx.AsyncClient
    owner: Organization
    execution: dict[str, Any]
    attempt: int = 0
    batch: int = 0
    dispatch: int = 0
    tries: int = 0
    waits: list[str] = field(default_factory=list[str])

    @property
    def path(self) -> str:
        """Of the execution, for workers."""
        return f"/internal/v1/executions/{self.execution['id']}"

    async def open(self) -> dict[str, Any]:
        """Begin an attempt, after the turn was handed out."""
        self.dispatch, self.tries = self.dispatch + 1, 0
        return await self.retry()

    async def retry(self, *, swallowed: int = 0) -> dict[str, Any]:
        """Begin another attempt; a frozen worker may have swallowed some before it."""
        self.tries, self.batch = self.tries + swallowed + 1, 0
        request = OpenAttempt(
            organization_id=str(self.owner.id),
            turn=1,
            dispatch=self.dispatch,
            try_number=self.tries,
            token=str(uuid4()),
            worker_id="worker",
            message_id=self.execution["id"],
        )
        opened = await self._post("attempts", request.model_dump(mode="json"))
        self.attempt = opened["attempt"]
        return opened

    async def step(self, *steps: Step) -> None:
        """Write steps of the journal."""
        await self._append(steps=list(steps))

    async def tell(self, events: list[NewEvent], *steps: Step) -> None:
        """Write steps of the journal with what is told of them."""
        await self._append(steps=list(steps), events=events)

    async def finish(self, request: FinishExecution) -> None:
        """Record the execution's end, as its workflow does."""
        await self._post("finish", request.model_dump(mode="json"))

    async def read(self, what: str) -> dict[str, Any]:
        """Something of the execution, as its owner sees it."""
        path = f"/api/v1/executions/{self.execution['id']}/{what}"
        answer = await self.http.get(path, headers=self.owner.auth())
        assert answer.is_success, answer.text
        return answer.json()

    async def ask(self, kind: QuestionKind = QuestionKind.TOOL_CALL, *, expires: float = 3600, **detail: Any) -> str:
        """Ask for a decision; gives the approval's id."""
        asked = ApprovalRequest(
            id=uuid4(),
            kind=kind,
            key=detail.get("limit", "call_1"),
            digest=DIGEST,
            name="write_file",
            detail=detail or {"tool_call_id": "call_1", "arguments": ARGUMENTS},
            expires_seconds=expires,
        )
        await self._append(asked=[asked], events=[NewEvent(type="approval.requested", data={"kind": kind})])
        self.waits.append(str(asked.id))
        return str(asked.id)

    async def suspend(self, *waits: str) -> None:
        """End the attempt, and wait."""
        await self.close(AttemptEnd.SUSPENDED, waits=list(waits) or self.waits)

    async def close(self, end: AttemptEnd, **more: Any) -> None:
        """End the attempt."""
        self.batch += 1
        request = CloseAttempt(organization_id=str(self.owner.id), batch=self.batch, end=end, **more)
        await self._post(f"attempts/{self.attempt}/close", request.model_dump(mode="json"))

    async def _append(self, **what: Any) -> None:
        self.batch += 1
        request = AppendEvents(organization_id=str(self.owner.id), batch=self.batch, **what)
        await self._post(f"attempts/{self.attempt}/events", request.model_dump(mode="json"))

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self.http.post(f"{self.path}/{path}", json=body, headers=self.owner.auth("worker"))
        assert answer.is_success, answer.text
        return answer.json() if answer.content else {}
