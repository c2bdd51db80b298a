"""What there is to do in the whole installation, counted for metrics."""

from alembic import context, op

revision = "0006"
down_revision = "0005"

FUNCTION = """
CREATE FUNCTION holdfast_census(max_rows int) RETURNS TABLE (
    status text, runtime text, task_queue text, executions bigint, age double precision
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT e.status, e.runtime, e.task_queue, count(*), extract(epoch FROM now() - min(e.created_at))::double precision
    FROM executions e
    WHERE e.status IN ('waiting_for_pool', 'queued', 'running', 'waiting')
    GROUP BY e.status, e.runtime, e.task_queue
    ORDER BY count(*) DESC
    LIMIT max_rows
$$
"""


def upgrade() -> None:
    signature = "holdfast_census(int)"
    op.execute(FUNCTION)
    op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {context.config.attributes['app_role']}")
