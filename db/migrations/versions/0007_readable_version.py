"""The API's role may read which schema there is, so that its user can tell that nothing is to migrate."""

from alembic import context, op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute(f"GRANT SELECT ON alembic_version TO {context.config.attributes['app_role']}")
