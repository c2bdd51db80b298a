"""Pools: what workers are and have, who was told to drain; the priority of executions."""

from alembic import op

revision = "0004"
down_revision = "0003"

WORKERS = """
ALTER TABLE workers
    ADD COLUMN memory_limit bigint NOT NULL DEFAULT '0',
    ADD COLUMN memory_used bigint NOT NULL DEFAULT '0',
    ADD COLUMN deployment text NOT NULL DEFAULT '',
    ADD COLUMN build_id text NOT NULL DEFAULT '',
    ADD COLUMN drain_requested_at timestamptz,
    ADD COLUMN drain_requested_by text
"""

EXECUTIONS = """
ALTER TABLE executions
    ADD COLUMN priority integer NOT NULL DEFAULT '3' CONSTRAINT ck_executions_priority CHECK (priority BETWEEN 1 AND 5)
"""


def upgrade() -> None:
    op.execute(WORKERS)
    op.execute(EXECUTIONS)
