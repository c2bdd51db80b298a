"""The worker's way to the control plane: `/internal/v1` over HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import aiohttp
import orjson
from opentelemetry.propagate import inject
from pydantic import BaseModel
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential, wait_random

from runtimes.errors import (
    AgentUnknown,
    AttemptFenced,
    ConfigurationInvalid,
    ControlPlaneUnavailable,
    ExecutionClosed,
    RuntimeFailure,
    RuntimeUnknown,
    WorkerLost,
    WorkerRefused,
)
from runtimes.turns import (
    Admission,
    AdmitExecution,
    ApprovalDecision,
    FinishExecution,
    Place,
    PlaceExecution,
    TurnOutcome,
    TurnRequest,
    TurnStatus,
)
from runtimes.types import FinishReason
from services.control_plane_client.models import (
    AnnounceWorker,
    AppendEvents,
    AttemptEnd,
    AttemptOpened,
    ChildState,
    CloseAttempt,
    DecideApproval,
    OpenAttempt,
    StartChild,
    WorkerAnnounced,
)

#: What a problem's `code` means to a turn.
FAILURES: dict[str, type[RuntimeFailure]] = {
    failure.code: failure for failure in (AgentUnknown, AttemptFenced, ExecutionClosed, RuntimeUnknown, WorkerLost)
}
#: What refuses the worker itself: each further turn would end in the same way.
REFUSALS = frozenset({"auth_missing", "key_invalid", "key_expired", "key_revoked", "scope_missing", "host_forbidden"})
NO_HEADERS: Mapping[str, str] = {}
UNAVAILABLE = frozenset({408, 429, 502, 503, 504})


class _Unavailable(Exception):
    """The control plane cannot answer now."""


def _nothing(_: object) -> None:
    """Nobody listens, and there is nothing to read."""


class ControlPlaneClient:
    """Calls of the worker API, retried while the control plane is away.

    `patience` is how long a call is retried, in seconds, and `holds_for`, if that is longer, how long one that
    brings what an attempt has done: it has been paid for. `refused` hears of a key that is not accepted.
    All calls are idempotent: attempts by their token, appends and closes by their batch number.

    Raises:
        ControlPlaneUnavailable: no answer within that time.
        WorkerRefused: the worker's key is not accepted.
        AttemptFenced: a newer attempt has taken over.
        WorkerLost: the turn was begun as often as it may.
        RuntimeFailure: the control plane refused, with its own words.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        patience: float = 60.0,
        holds_for: float = 600.0,
        refused: Callable[[WorkerRefused], None] = _nothing,
    ) -> None:
        self._session = session
        self._patience = patience
        self._holds_for = max(holds_for, patience)
        self._refused = refused

    async def admit(self, request: AdmitExecution) -> Admission:
        """Give an execution that was started past the API its row."""
        return await self._post("/internal/v1/executions", request, Admission.model_validate_json)

    async def place(self, execution_id: str, organization_id: str) -> Place:
        """Ask for the place of an execution that waits for a pool."""
        request = PlaceExecution(organization_id=organization_id)
        return await self._post(f"/internal/v1/executions/{execution_id}/place", request, Place.model_validate_json)

    async def finish(self, execution_id: str, request: FinishExecution) -> None:
        """Record an execution's end."""
        await self._post(f"/internal/v1/executions/{execution_id}/finish", request, _nothing)

    async def decide(self, execution_id: str, organization_id: str, decision: ApprovalDecision) -> str:
        """Decide an approval; gives its status."""
        body = DecideApproval(organization_id=organization_id, decision=decision)
        return await self._post(f"/internal/v1/executions/{execution_id}/approvals", body, orjson.loads)

    async def start_child(self, execution_id: str, request: StartChild) -> ChildState:
        """Start another agent's execution, or give its state."""
        return await self._post(
            f"/internal/v1/executions/{execution_id}/children", request, ChildState.model_validate_json
        )

    async def open_attempt(self, execution_id: str, request: OpenAttempt) -> AttemptOpened:
        """Take over a turn."""
        return await self._post(
            f"/internal/v1/executions/{execution_id}/attempts", request, AttemptOpened.model_validate_json
        )

    async def append(self, execution_id: str, attempt: int, request: AppendEvents) -> None:
        """Append events and text."""
        path = f"/internal/v1/executions/{execution_id}/attempts/{attempt}/events"
        await self._call(partial(self._once, path, _content(request)), _nothing, self._holds_for)

    async def close(self, execution_id: str, attempt: int, request: CloseAttempt) -> None:
        """End an attempt."""
        await self._post(f"/internal/v1/executions/{execution_id}/attempts/{attempt}/close", request, _nothing)

    async def interrupt(self, turn: TurnRequest) -> TurnOutcome:
        """End a turn that no worker has: open an attempt that shuts out all others, and close it at once."""
        request = OpenAttempt(
            organization_id=turn.organization_id,
            turn=turn.turn,
            dispatch=turn.dispatch + 1,
            try_number=1,
            token="interrupted",  # noqa: S106
            worker_id="",
            message_id=turn.message_id,
            prompt=turn.prompt,
            message_key=turn.message_key,
            run_id=turn.run_id,
        )
        opened = await self.open_attempt(turn.execution_id, request)
        if opened.closed is not None:
            return opened.closed
        close = CloseAttempt(
            organization_id=turn.organization_id,
            batch=1,
            end=AttemptEnd.INTERRUPTED,
            spent=opened.spent,
            finish_reason=FinishReason.INTERRUPTED,
        )
        await self.close(turn.execution_id, opened.attempt, close)
        return TurnOutcome(
            status=TurnStatus.INTERRUPTED,
            session_id=opened.session_id,
            attempt=opened.attempt,
            usage=opened.spent,
            runtime=opened.agent.runtime,
            finish_reason=FinishReason.INTERRUPTED,
            turn=opened.turn or None,
            is_other=opened.is_other,
        )

    async def announce(self, request: AnnounceWorker) -> WorkerAnnounced:
        """Show a sign of life; not retried, the next one comes anyway."""
        try:
            answer = await self._once("/internal/v1/workers", request.model_dump_json().encode())
            return WorkerAnnounced.model_validate_json(answer or b"{}")
        except _Unavailable as error:
            raise ControlPlaneUnavailable(str(error)) from error

    async def get(self, path: str, decode: Callable[[bytes], Any] = bytes, **query: str) -> Any:
        """Read something of an execution."""
        return await self._call(partial(self._send, "GET", path, params=query), decode)

    async def put(self, path: str, content: bytes, kind: str, **query: str) -> None:
        """Keep something of an execution; `kind` is its media type."""
        headers = {"Content-Type": kind}
        await self._call(partial(self._send, "PUT", path, data=content, params=query, headers=headers), _nothing)

    async def post(self, path: str, body: BaseModel, decode: Callable[[bytes], Any] = _nothing) -> Any:
        """Add something to an execution."""
        return await self._post(path, body, decode)

    async def _post(self, path: str, body: BaseModel, decode: Callable[[bytes], Any]) -> Any:
        return await self._call(partial(self._once, path, _content(body)), decode)

    async def _call(
        self, call: Callable[[], Awaitable[bytes]], decode: Callable[[bytes], Any], patience: float | None = None
    ) -> Any:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((_Unavailable, aiohttp.ClientError, asyncio.TimeoutError)),
            wait=wait_exponential(multiplier=0.1, max=2.0) + wait_random(0, 0.1),
            stop=stop_after_delay(self._patience if patience is None else patience),
            reraise=True,
        )
        try:
            return decode(await retrying(call))
        except (_Unavailable, aiohttp.ClientError, TimeoutError) as error:
            said = str(error) if isinstance(error, _Unavailable) else type(error).__name__
            raise ControlPlaneUnavailable(f"The control plane did not answer: {said}.", private=str(error)) from error
        except WorkerRefused as refusal:
            self._refused(refusal)
            raise

    async def _once(self, path: str, content: bytes) -> bytes:
        return await self._send("POST", path, data=content, headers={"Content-Type": "application/json"})

    async def _send(self, method: str, path: str, headers: Mapping[str, str] = NO_HEADERS, **options: Any) -> bytes:
        sent = {**headers}
        inject(sent)
        async with self._session.request(method, path, headers=sent, **options) as response:
            answer = await response.read()
            if response.status in UNAVAILABLE:
                raise _Unavailable(f"HTTP {response.status}{_said(answer)}")
            if response.status >= 400:
                raise _failure(response.status, answer)
            return answer


def _content(body: BaseModel) -> bytes:
    return body.model_dump_json(exclude_defaults=True).encode()


class _Problem(BaseModel):
    code: str
    detail: str = ""
    hint: str = ""


def _said(answer: bytes) -> str:
    """A problem's own words, where there are any."""
    try:
        problem = _Problem.model_validate_json(answer)
    except ValueError:
        return ""
    return f", {problem.code}: {problem.detail} {problem.hint}".rstrip()


def _failure(status: int, answer: bytes) -> RuntimeFailure:
    try:
        problem = _Problem.model_validate_json(answer)
    except ValueError:
        return ControlPlaneUnavailable(f"HTTP {status} came from something that is no Holdfast API.")
    if problem.code in REFUSALS:
        return WorkerRefused(problem.detail, hint=problem.hint if status == 403 else "")
    kind = FAILURES.get(problem.code, ConfigurationInvalid if status < 500 else ControlPlaneUnavailable)
    failure = kind(problem.detail, hint=problem.hint)
    failure.code = problem.code
    return failure
