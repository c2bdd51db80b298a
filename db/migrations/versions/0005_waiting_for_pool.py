"""Executions that wait for a pool; agents that leave their runtime open; how runtime and pool were found."""

from alembic import context, op

revision = "0005"
down_revision = "0004"

EXECUTIONS = """
ALTER TABLE executions ADD COLUMN resolution jsonb;
ALTER TABLE executions DROP CONSTRAINT ck_executions_status;
ALTER TABLE executions ADD CONSTRAINT ck_executions_status CHECK (
    status IN ('waiting_for_pool', 'queued', 'running', 'waiting', 'completed', 'failed', 'cancelled', 'timed_out')
);
DROP INDEX ix_executions_unsettled;
CREATE INDEX ix_executions_unsettled ON executions (reconciled_at)
    WHERE status IN ('waiting_for_pool', 'queued', 'running', 'waiting');
"""

AGENTS = "ALTER TABLE agents ALTER COLUMN runtime DROP NOT NULL"

#: Replaced in place: what may be done with it stays.
FUNCTIONS = """
CREATE OR REPLACE FUNCTION holdfast_unsettled(idle_seconds double precision, max_rows int) RETURNS TABLE (
    organization_id uuid, id uuid, workflow_id text, first_run_id text, status text, attempt_turn int
) LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH due AS (
        SELECT e.id, e.reconciled_at FROM executions e
        WHERE e.status IN ('waiting_for_pool', 'queued', 'running', 'waiting')
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
CREATE FUNCTION holdfast_waiting_for_pool(since timestamptz, max_rows int) RETURNS TABLE (
    organization_id uuid, id uuid, workflow_id text, first_run_id text
) LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH due AS (
        SELECT e.id FROM executions e
        WHERE e.status = 'waiting_for_pool' AND e.reconciled_at < since
        ORDER BY e.reconciled_at
        LIMIT max_rows
        FOR UPDATE SKIP LOCKED
    )
    UPDATE executions e SET reconciled_at = now() FROM due WHERE e.id = due.id
    RETURNING e.organization_id, e.id, e.workflow_id, e.first_run_id
$$;
"""


def upgrade() -> None:
    for part in (EXECUTIONS, AGENTS, FUNCTIONS):
        op.execute(part)
    signature = "holdfast_waiting_for_pool(timestamptz, int)"
    op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {context.config.attributes['app_role']}")
