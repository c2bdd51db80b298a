"""The run of its workflow to which an attempt belongs."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute("ALTER TABLE executions ADD COLUMN attempt_run text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE attempts ADD COLUMN run_id text NOT NULL DEFAULT ''")
