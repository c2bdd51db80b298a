"""One request to one provider, with its step in the journal."""

from collections.abc import Coroutine, Mapping, Sequence
from time import perf_counter
from typing import Any

from runtimes.errors import (
    ModelAnswerEmpty,
    ModelAnswerInvalid,
    ModelConnectionBroken,
    ModelTimeout,
    RuntimeFailure,
)
from runtimes.types import ExecutionError, ModelEndpoint, Usage
from services.control_plane_client.models import NewEvent, Step, StepKind, StepStatus
from services.journal import Journal
from services.metrics import ABANDONED, COMPLETED, FAILED
from services.model_gateway.claims import LazyClaim
from services.model_gateway.errors import ModelUnreachable
from services.model_gateway.pricing import Tokens, unknown_usage, usage
from services.model_gateway.wires.wire import Recording
from services.tracing import TurnTrace

#: With these the provider may have worked, and may want money for it.
_BROKEN = (ModelTimeout, ModelConnectionBroken, ModelAnswerInvalid, ModelAnswerEmpty)
#: Why a call ended that nobody waited for.
UNHEARD = ExecutionError(
    code="model_call_abandoned", message="The caller went away before the answer's end.", retryable=True
)


class Try:
    """A step that is claimed once it takes its time, and written when its outcome is known.

    `most` is what the call may use at most; until it is known what it did use, this counts.
    """

    def __init__(
        self,
        journal: Journal,
        turn_trace: TurnTrace,
        endpoint: ModelEndpoint,
        began: float,
        operation: str,
        most: Tokens,
        **fields: Any,
    ) -> None:
        self._journal = journal
        self._trace = turn_trace
        self.endpoint = endpoint
        self._began = began
        self._asked = perf_counter()
        self._is_settled = False
        self._most = most
        self.used = unknown_usage(Tokens(), most, endpoint)
        step = journal.begin(StepKind.MODEL_CALL, name=endpoint.model, usage=self.used, **fields)
        self.step: Step = step
        self._claim = LazyClaim(journal, step)
        self._span = turn_trace.model_call(endpoint, step, fields["request"]["body"], operation)
        self._first_token: float | None = None
        self.model = endpoint.model

    def answered_by(self, model: Any) -> None:
        """The answer names its model, more exactly than the request did."""
        self.model = model if isinstance(model, str) and model else self.model

    async def done(
        self, response: Any, tokens: Tokens, first_token_at: float | None, events: Sequence[NewEvent]
    ) -> None:
        """Commit the answer.

        Raises:
            RuntimeFailure: it is not stored, so nobody may see it.
        """
        self.used = self._used(tokens, is_complete=True)
        first = {"first_token": round(first_token_at - self._began, 6)} if first_token_at is not None else {}
        self._first_token = first_token_at - self._asked if first_token_at is not None else None
        await self._write(events, status=StepStatus.DONE, response=response, timings=self._timings() | first)
        self._trace.model_answered(self._span, self.model, self.used, self._first_token)

    async def failed(self, failure: RuntimeFailure, recording: Recording) -> None:
        """Record the failure and what is known of its price: nothing was made for a call that was refused."""
        if isinstance(failure, ModelUnreachable):
            self.used = Usage()
        elif recording.events or isinstance(failure, _BROKEN):
            self.used = self._used(recording.tokens, is_complete=recording.is_complete)
        else:
            self.used = Usage(model_calls=1)
        self._trace.model_failed(self._span, failure.code, self.used)
        await self._write((), status=StepStatus.FAILED, error=failure.as_error(), timings=self._timings())

    def abandoned(self, recording: Recording) -> Coroutine[Any, Any, None] | None:
        """Record that nobody waited for the answer; None if it was there already."""
        if self._is_settled:
            return None
        self.used = self._used(recording.tokens, is_complete=recording.is_complete)
        self._trace.model_failed(self._span, UNHEARD.code, self.used)
        return self._write((), status=StepStatus.FAILED, error=UNHEARD, timings=self._timings())

    def _used(self, tokens: Tokens, *, is_complete: bool) -> Usage:
        is_known = is_complete and tokens.is_told
        return usage(tokens, self.endpoint) if is_known else unknown_usage(tokens, self._most, self.endpoint)

    async def _write(self, events: Sequence[NewEvent], **outcome: Any) -> None:
        self._is_settled = True
        self._count(outcome.get("error"), outcome["timings"])
        self._claim.settle()
        kept = {"request": None} if self._claim.is_written else {}
        await self._journal.write(
            self.step.model_copy(update={**outcome, **kept, "usage": self.used, "name": self.model}), events
        )

    def _count(self, error: ExecutionError | None, timings: Mapping[str, float]) -> None:
        outcome = COMPLETED if error is None else ABANDONED if error is UNHEARD else FAILED
        code = error.code if error else ""
        taken = timings["provider"]
        self._journal.metrics.model_called(self.endpoint, outcome, code, self.used, taken, self._first_token)

    def _timings(self) -> dict[str, float]:
        now = perf_counter()
        return {"total": round(now - self._began, 6), "provider": round(now - self._asked, 6)}
