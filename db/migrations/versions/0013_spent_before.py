"""The usage of open executions from before shared budgets were kept call by call."""

from alembic import op

revision = "0013"
down_revision = "0012"

#: The table's owner is held to its policies, too.
TABLES = ("executions", "attempts", "steps", "reservations")
#: One settled reservation for each execution: what its attempts have said, and the calls of one that is under way.
SPENT = """
INSERT INTO reservations (id, organization_id, execution_id, attempt, settled, model_calls, tool_calls, tokens,
    cost_usd)
SELECT gen_random_uuid(), spent.organization_id, spent.id, spent.attempt, true, sum(model_calls), sum(tool_calls),
    sum(tokens), sum(cost_usd)
FROM (
    SELECT e.organization_id, e.id, e.attempt,
        coalesce((used.usage->>'model_calls')::integer, 0) AS model_calls,
        coalesce((used.usage->>'tool_calls')::integer, 0) AS tool_calls,
        coalesce((used.usage->>'input_tokens')::bigint, 0) + coalesce((used.usage->>'output_tokens')::bigint, 0)
            + coalesce((used.usage->>'reserved_tokens')::bigint, 0) AS tokens,
        coalesce((used.usage->>'known_cost_usd')::double precision, (used.usage->>'cost_usd')::double precision, 0)
            + coalesce((used.usage->>'reserved_cost_usd')::double precision, 0) AS cost_usd
    FROM executions AS e CROSS JOIN LATERAL (
        SELECT e.usage
        UNION ALL
        SELECT steps.usage FROM steps JOIN attempts ON attempts.execution_id = steps.execution_id
            AND attempts.attempt = steps.attempt AND attempts.status = 'running'
        WHERE steps.execution_id = e.id AND steps.turn = e.attempt_turn AND steps.attempt = e.attempt
            AND steps.status <> 'unknown'
    ) AS used
    WHERE e.attempt > 0 AND NOT EXISTS (SELECT 1 FROM reservations WHERE reservations.execution_id = e.id) AND (
        e.parent_id IS NOT NULL
        OR e.status NOT IN ('completed', 'failed', 'cancelled', 'timed_out')
        OR EXISTS (SELECT 1 FROM executions AS child WHERE child.parent_id = e.id)
    )
) AS spent
GROUP BY spent.organization_id, spent.id, spent.attempt
HAVING sum(model_calls) + sum(tool_calls) + sum(tokens) > 0
"""


def upgrade() -> None:
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(SPENT)
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
