"""The step journal: steps, blobs, approvals, entries of runtimes, cached responses; budgets and children."""

from alembic import context, op

revision = "0002"
down_revision = "0001"

EXECUTIONS = """
ALTER TABLE executions
    ADD COLUMN budget jsonb NOT NULL DEFAULT '{}'::jsonb,
    ADD COLUMN output_schema jsonb,
    ADD COLUMN output jsonb,
    ADD COLUMN seconds double precision NOT NULL DEFAULT '0',
    ADD COLUMN workspace text,
    ADD COLUMN parent_id uuid,
    ADD COLUMN depth integer NOT NULL DEFAULT 0;
CREATE INDEX ix_executions_parent_id ON executions (parent_id) WHERE parent_id IS NOT NULL;
ALTER TABLE attempts DROP CONSTRAINT ck_attempts_status;
ALTER TABLE attempts ADD CONSTRAINT ck_attempts_status CHECK (
    status IN ('running', 'completed', 'interrupted', 'preempted', 'suspended', 'failed', 'lost')
);
"""

STEPS = """
CREATE TABLE steps (
    execution_id uuid NOT NULL CONSTRAINT fk_steps_execution_id REFERENCES executions (id) ON DELETE CASCADE,
    turn integer NOT NULL,
    ordinal integer NOT NULL,
    attempt integer NOT NULL,
    kind text NOT NULL CONSTRAINT ck_steps_kind CHECK (kind IN ('model_call', 'tool_call')),
    status text NOT NULL CONSTRAINT ck_steps_status CHECK (status IN ('claimed', 'done', 'unknown', 'failed')),
    key text NOT NULL DEFAULT '',
    name text NOT NULL DEFAULT '',
    effect text NOT NULL DEFAULT '',
    hash text NOT NULL DEFAULT '',
    fingerprint text NOT NULL DEFAULT '',
    request jsonb,
    request_blob text,
    response jsonb,
    response_blob text,
    usage jsonb NOT NULL DEFAULT '{}'::jsonb,
    timings jsonb NOT NULL DEFAULT '{}'::jsonb,
    error jsonb,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    organization_id uuid NOT NULL,
    CONSTRAINT pk_steps PRIMARY KEY (execution_id, turn, ordinal)
);
CREATE TABLE blobs (
    execution_id uuid NOT NULL CONSTRAINT fk_blobs_execution_id REFERENCES executions (id) ON DELETE CASCADE,
    hash text NOT NULL,
    data bytea NOT NULL,
    size bigint NOT NULL,
    organization_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_blobs PRIMARY KEY (execution_id, hash)
);
CREATE TABLE turn_entries (
    execution_id uuid NOT NULL CONSTRAINT fk_turn_entries_execution_id REFERENCES executions (id) ON DELETE CASCADE,
    turn integer NOT NULL,
    name text NOT NULL,
    position integer NOT NULL,
    entry jsonb NOT NULL,
    organization_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_turn_entries PRIMARY KEY (execution_id, turn, name, position)
);
CREATE TABLE cached_responses (
    agent_id uuid NOT NULL,
    agent_version integer NOT NULL,
    hash text NOT NULL,
    response jsonb NOT NULL,
    expires_at timestamptz NOT NULL,
    organization_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_cached_responses PRIMARY KEY (agent_id, agent_version, hash)
);
CREATE INDEX ix_cached_responses_expires_at ON cached_responses (expires_at);
"""

APPROVALS = """
CREATE TABLE approvals (
    id uuid NOT NULL CONSTRAINT pk_approvals PRIMARY KEY,
    execution_id uuid NOT NULL CONSTRAINT fk_approvals_execution_id REFERENCES executions (id) ON DELETE CASCADE,
    turn integer NOT NULL,
    kind text NOT NULL CONSTRAINT ck_approvals_kind CHECK (kind IN ('tool_call', 'outcome_unknown', 'budget')),
    key text NOT NULL,
    digest text NOT NULL,
    name text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'::jsonb,
    status text NOT NULL DEFAULT 'pending' CONSTRAINT ck_approvals_status CHECK (
        status IN ('pending', 'approved', 'denied', 'expired', 'withdrawn')
    ),
    note text NOT NULL DEFAULT '',
    "limit" double precision,
    decided_by text,
    decided_at timestamptz,
    used_at timestamptz,
    expires_at timestamptz NOT NULL,
    organization_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ix_approvals_execution_id_turn ON approvals (execution_id, turn);
CREATE INDEX ix_approvals_organization_id_created_at ON approvals (organization_id, created_at, id);
"""

#: Tables under row-level security, with what the application may do to their rows.
PRIVILEGES = {
    "steps": "SELECT, INSERT, UPDATE",
    "blobs": "SELECT, INSERT",
    "turn_entries": "SELECT, INSERT",
    "cached_responses": "SELECT, INSERT, UPDATE, DELETE",
    "approvals": "SELECT, INSERT, UPDATE",
}


def upgrade() -> None:
    for part in (EXECUTIONS, STEPS, APPROVALS):
        op.execute(part)
    role = context.config.attributes["app_role"]
    for table, privileges in PRIVILEGES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY organization ON {table}"
            " USING (organization_id = nullif(current_setting('holdfast.organization_id', true), '')::uuid)"
        )
        op.execute(f"GRANT {privileges} ON {table} TO {role}")
