"""Executions that wait until their session's earlier ones have ended."""

from alembic import op

revision = "0010"
down_revision = "0009"

EXECUTIONS = """
ALTER TABLE executions DROP CONSTRAINT ck_executions_status;
ALTER TABLE executions ADD CONSTRAINT ck_executions_status CHECK (
    status IN ('waiting_for_session', 'waiting_for_pool', 'queued', 'running', 'waiting', 'completed', 'failed',
        'cancelled', 'timed_out')
);
DROP INDEX ix_executions_unsettled;
CREATE INDEX ix_executions_unsettled ON executions (reconciled_at)
    WHERE status IN ('waiting_for_session', 'waiting_for_pool', 'queued', 'running', 'waiting');
"""

#: Replaced in place: what may be done with them stays.
FUNCTIONS = """
CREATE OR REPLACE FUNCTION holdfast_unsettled(idle_seconds double precision, max_rows int) RETURNS TABLE (
    organization_id uuid, id uuid, workflow_id text, first_run_id text, status text, attempt_turn int
) LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH due AS (
        SELECT e.id, e.reconciled_at FROM executions e
        WHERE e.status IN ('waiting_for_session', 'waiting_for_pool', 'queued', 'running', 'waiting')
            AND e.reconciled_at < now() - make_interval(secs => idle_seconds)
            AND e.updated_at < now() - make_interval(secs => idle_seconds)
        ORDER BY e.reconciled_at
        LIMIT max_rows
        FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE executions e SET reconciled_at = now() FROM due WHERE e.id = due.id
        RETURNING e.organization_id, e.id, e.workflow_id, e.first_run_id, e.status, e.attempt_turn
    )
    SELECT claimed.* FROM claimed JOIN due ON due.id = claimed.id ORDER BY due.reconciled_at
$$;
CREATE OR REPLACE FUNCTION holdfast_census(max_rows int) RETURNS TABLE (
    status text, runtime text, task_queue text, executions bigint, age double precision
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT e.status, e.runtime, e.task_queue, count(*), extract(epoch FROM now() - min(e.created_at))::double precision
    FROM executions e
    WHERE e.status IN ('waiting_for_session', 'waiting_for_pool', 'queued', 'running', 'waiting')
    GROUP BY e.status, e.runtime, e.task_queue
    ORDER BY count(*) DESC
    LIMIT max_rows
$$;
"""


def upgrade() -> None:
    for part in (EXECUTIONS, FUNCTIONS):
        op.execute(part)
