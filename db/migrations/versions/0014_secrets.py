"""Secrets of organizations, sealed."""

from alembic import context, op

revision = "0014"
down_revision = "0013"

SECRETS = """
CREATE TABLE secrets (
    organization_id uuid NOT NULL
        CONSTRAINT fk_secrets_organization_id REFERENCES organizations (id) ON DELETE CASCADE,
    name text NOT NULL,
    version integer NOT NULL DEFAULT 1,
    key_id text NOT NULL,
    wrapped_key bytea NOT NULL,
    value bytea NOT NULL,
    moved boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_secrets PRIMARY KEY (organization_id, name)
);
"""


def upgrade() -> None:
    op.execute(SECRETS)
    op.execute("ALTER TABLE secrets ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE secrets FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY organization ON secrets"
        " USING (organization_id = nullif(current_setting('holdfast.organization_id', true), '')::uuid)"
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON secrets TO {context.config.attributes['app_role']}")
