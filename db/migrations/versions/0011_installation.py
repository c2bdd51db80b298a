"""The installation's own id, by which it is told from others that share a Temporal namespace with it."""

from alembic import context, op

revision = "0011"
down_revision = "0010"

TABLE = """
CREATE TABLE installation (
    id uuid DEFAULT gen_random_uuid() CONSTRAINT pk_installation PRIMARY KEY,
    is_only boolean NOT NULL DEFAULT true
        CONSTRAINT uq_installation_is_only UNIQUE
        CONSTRAINT ck_installation_only CHECK (is_only)
)
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute("INSERT INTO installation DEFAULT VALUES")
    op.execute(f"GRANT SELECT ON installation TO {context.config.attributes['app_role']}")
