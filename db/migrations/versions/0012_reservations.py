"""The reservations of executions that share a budget, call by call."""

from alembic import context, op

revision = "0012"
down_revision = "0011"

RESERVATIONS = """
CREATE TABLE reservations (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    execution_id uuid NOT NULL
        CONSTRAINT fk_reservations_execution_id REFERENCES executions (id) ON DELETE CASCADE,
    attempt integer NOT NULL,
    settled boolean NOT NULL DEFAULT false,
    model_calls integer NOT NULL DEFAULT 0,
    tool_calls integer NOT NULL DEFAULT 0,
    tokens bigint NOT NULL DEFAULT '0',
    cost_usd double precision NOT NULL DEFAULT '0',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_reservations PRIMARY KEY (id)
);
CREATE INDEX ix_reservations_execution_id ON reservations (execution_id);
"""


def upgrade() -> None:
    op.execute(RESERVATIONS)
    op.execute("ALTER TABLE reservations ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE reservations FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY organization ON reservations"
        " USING (organization_id = nullif(current_setting('holdfast.organization_id', true), '')::uuid)"
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON reservations TO {context.config.attributes['app_role']}")
