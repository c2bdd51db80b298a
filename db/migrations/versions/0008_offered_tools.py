"""The tools that a turn's model was offered, kept with the turn; steps that were cut off have an end of their own."""

from alembic import op

revision = "0008"
down_revision = "0007"

CHANGES = """
ALTER TABLE turns ADD COLUMN offered text;
ALTER TABLE steps DROP CONSTRAINT ck_steps_status;
ALTER TABLE steps ADD CONSTRAINT ck_steps_status CHECK (
    status IN ('claimed', 'done', 'unknown', 'cancelled', 'failed')
);
"""


def upgrade() -> None:
    op.execute(CHANGES)
