"""Templates: presets of an organization, and which of them an agent was made from."""

from alembic import context, op

revision = "0003"
down_revision = "0002"

TEMPLATES = """
CREATE TABLE templates (
    organization_id uuid NOT NULL
        CONSTRAINT fk_templates_organization_id REFERENCES organizations (id) ON DELETE CASCADE,
    name text NOT NULL,
    title text NOT NULL DEFAULT '',
    description text NOT NULL DEFAULT '',
    type text NOT NULL CONSTRAINT ck_templates_type CHECK (type IN ('conversation', 'task', 'custom')),
    preferred_runtimes jsonb NOT NULL DEFAULT '[]'::jsonb,
    required_capabilities jsonb NOT NULL DEFAULT '[]'::jsonb,
    defaults jsonb NOT NULL DEFAULT '{}'::jsonb,
    updated_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_templates PRIMARY KEY (organization_id, name)
);
ALTER TABLE agents ADD COLUMN template text;
CREATE INDEX ix_agents_organization_id_template ON agents (organization_id, template);
"""


def upgrade() -> None:
    op.execute(TEMPLATES)
    role = context.config.attributes["app_role"]
    op.execute("ALTER TABLE templates ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE templates FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY organization ON templates"
        " USING (organization_id = nullif(current_setting('holdfast.organization_id', true), '')::uuid)"
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON templates TO {role}")
