"""The figures of one execution, out of its journal and its attempts."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.api.metrics.schemas import AttemptMetrics, ExecutionMetrics, ModelCallMetrics, ToolCallMetrics
from control_plane.errors import NotFound
from db.enums import AttemptState, StepKind, StepStatus
from runtimes.types import Usage

_EXECUTION = text("""
    SELECT id, status, runtime, usage, seconds,
        extract(epoch FROM started_at - created_at) AS queued,
        extract(epoch FROM coalesce(finished_at, now()) - created_at) AS total,
        (SELECT count(*) FROM turns WHERE execution_id = executions.id) AS turns,
        (SELECT extract(epoch FROM min(ended_at
                - make_interval(secs => (timings->>'total')::float - (timings->>'first_token')::float)) - created_at)
            FROM steps WHERE execution_id = executions.id AND timings ? 'first_token') AS first_token
    FROM executions WHERE id = :id AND organization_id = :organization_id
""")
_ATTEMPTS = text("""
    SELECT status, error->>'code' AS code, count(*) AS number FROM attempts WHERE execution_id = :id GROUP BY 1, 2
""")
_STEPS = text("""
    SELECT kind, status, CASE kind WHEN 'tool_call' THEN name ELSE '' END AS name, error->>'code' AS code,
        key = 'cache' AS cached, coalesce(response->>'is_error', '') = 'true' AS refused, count(*) AS number,
        coalesce(sum(coalesce(timings->>'provider', timings->>'total')::float), 0) AS seconds,
        count(*) FILTER (WHERE status = 'done' AND steps.attempt < last.attempt) AS replayable
    FROM steps JOIN (SELECT turn, max(attempt) AS attempt FROM attempts WHERE execution_id = :id GROUP BY turn) AS last
        USING (turn)
    WHERE execution_id = :id GROUP BY 1, 2, 3, 4, 5, 6
""")

Rows = Sequence[Row[Any]]


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts what executions took, inside the caller's transaction."""

    connection: AsyncConnection
    organization_id: UUID

    async def of(self, execution_id: UUID) -> ExecutionMetrics:
        """One execution's.

        Raises:
            NotFound: the organization has no such execution.
        """
        parameters = {"id": execution_id, "organization_id": self.organization_id}
        row = (await self.connection.execute(_EXECUTION, parameters)).first()
        if row is None:
            raise NotFound(f"There is no execution '{execution_id}'.")
        attempts = (await self.connection.execute(_ATTEMPTS, {"id": execution_id})).all()
        steps = (await self.connection.execute(_STEPS, {"id": execution_id})).all()
        return _metrics(row, attempts, steps)


def _metrics(row: Row[Any], attempts: Rows, steps: Rows) -> ExecutionMetrics:
    calls = [step for step in steps if step.kind == StepKind.MODEL_CALL]
    usage, models = Usage.model_validate(row.usage), _model_calls(calls)
    return ExecutionMetrics(
        execution_id=row.id,
        status=row.status,
        runtime=row.runtime,
        queued_seconds=row.queued,
        first_token_seconds=row.first_token,
        running_seconds=row.seconds,
        total_seconds=row.total,
        turns=row.turns,
        attempts=_attempts(attempts),
        model_calls=models,
        tool_calls=_tool_calls(step for step in steps if step.kind == StepKind.TOOL_CALL),
        usage=usage,
        output_tokens_per_second=usage.output_tokens / models.seconds if models.seconds else None,
        errors=dict(_tally((each.code, each.number) for each in (*attempts, *calls) if each.code)),
    )


def _attempts(rows: Rows) -> AttemptMetrics:
    by_status = _tally((AttemptState(row.status), row.number) for row in rows)
    return AttemptMetrics(total=by_status.total(), lost=by_status[AttemptState.LOST], by_status=dict(by_status))


def _model_calls(rows: Rows) -> ModelCallMetrics:
    asked = [row for row in rows if not row.cached]
    by_status = _tally((row.status, row.number) for row in asked)
    return ModelCallMetrics(
        total=by_status.total(),
        completed=by_status[StepStatus.DONE],
        failed=by_status[StepStatus.FAILED],
        cached=sum(row.number for row in rows if row.cached),
        replayable=sum(row.replayable for row in rows),
        seconds=sum(row.seconds for row in asked),
    )


def _tool_calls(rows: Iterable[Row[Any]]) -> dict[str, ToolCallMetrics]:
    found: dict[str, ToolCallMetrics] = defaultdict(ToolCallMetrics)
    for row in rows:
        outcome, calls = _outcome(row), found[row.name]
        setattr(calls, outcome, getattr(calls, outcome) + row.number)
        calls.replayable += row.replayable
    return dict(sorted(found.items()))


def _outcome(row: Row[Any]) -> str:
    if row.status == StepStatus.DONE:
        return "failed" if row.refused else "completed"
    return {StepStatus.UNKNOWN: "unknown", StepStatus.CLAIMED: "running"}.get(StepStatus(row.status), "failed")


def _tally(pairs: Iterable[tuple[Any, int]]) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for name, count in pairs:
        found[name] += count
    return found
