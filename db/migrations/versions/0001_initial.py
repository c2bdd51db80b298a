"""The first schema: tables, row-level security, the application's role, the operator organization."""

from alembic import context, op

revision = "0001"
down_revision = None

ORGANIZATIONS = """
CREATE TABLE organizations (
    id uuid NOT NULL CONSTRAINT pk_organizations PRIMARY KEY,
    name text NOT NULL CONSTRAINT uq_organizations_name UNIQUE,
    operator boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX uq_organizations_operator ON organizations (operator) WHERE operator;
CREATE TABLE api_keys (
    id uuid NOT NULL CONSTRAINT pk_api_keys PRIMARY KEY,
    organization_id uuid NOT NULL
        CONSTRAINT fk_api_keys_organization_id REFERENCES organizations (id) ON DELETE CASCADE,
    name text NOT NULL,
    prefix text NOT NULL,
    hash bytea NOT NULL CONSTRAINT uq_api_keys_hash UNIQUE,
    scopes text[] NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ix_api_keys_organization_id ON api_keys (organization_id);
"""

AGENTS = """
CREATE TABLE agents (
    id uuid NOT NULL CONSTRAINT pk_agents PRIMARY KEY,
    organization_id uuid NOT NULL
        CONSTRAINT fk_agents_organization_id REFERENCES organizations (id) ON DELETE CASCADE,
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    runtime text NOT NULL DEFAULT 'default',
    model_id text NOT NULL,
    system_prompt text NOT NULL DEFAULT '',
    toolsets jsonb NOT NULL DEFAULT '[]'::jsonb,
    configuration jsonb NOT NULL DEFAULT '{}'::jsonb,
    version integer NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX uq_agents_organization_id_name ON agents (organization_id, name);
CREATE INDEX ix_agents_organization_id_runtime ON agents (organization_id, runtime);
CREATE INDEX ix_agents_runtime ON agents (runtime);
CREATE TABLE agent_versions (
    agent_id uuid NOT NULL,
    version integer NOT NULL,
    spec jsonb NOT NULL,
    organization_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_agent_versions PRIMARY KEY (agent_id, version)
);
"""

SESSIONS = """
CREATE SEQUENCE message_position;
CREATE TABLE sessions (
    id uuid NOT NULL CONSTRAINT pk_sessions PRIMARY KEY,
    organization_id uuid NOT NULL
        CONSTRAINT fk_sessions_organization_id REFERENCES organizations (id) ON DELETE CASCADE,
    agent_id uuid,
    title text NOT NULL DEFAULT '',
    metadata jsonb NOT NULL DEFAULT '{}'::jsonb,
    updated_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ix_sessions_organization_id_created_at ON sessions (organization_id, created_at, id);
CREATE TABLE messages (
    id uuid NOT NULL CONSTRAINT pk_messages PRIMARY KEY,
    session_id uuid NOT NULL CONSTRAINT fk_messages_session_id REFERENCES sessions (id) ON DELETE CASCADE,
    execution_id uuid NOT NULL,
    turn integer,
    role text NOT NULL CONSTRAINT ck_messages_role CHECK (role IN ('user', 'assistant')),
    content text NOT NULL,
    position bigint,
    organization_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ix_messages_session_id_position ON messages (session_id, position);
CREATE INDEX ix_messages_execution_id_turn ON messages (execution_id, turn);
"""

EXECUTIONS = """
CREATE TABLE executions (
    id uuid NOT NULL CONSTRAINT pk_executions PRIMARY KEY,
    organization_id uuid NOT NULL
        CONSTRAINT fk_executions_organization_id REFERENCES organizations (id) ON DELETE CASCADE,
    agent_id uuid,
    agent_name text NOT NULL,
    agent_version integer NOT NULL,
    session_id uuid,
    workflow_id text NOT NULL,
    first_run_id text,
    runtime text NOT NULL,
    task_queue text NOT NULL,
    interactive boolean NOT NULL DEFAULT false,
    status text NOT NULL DEFAULT 'queued' CONSTRAINT ck_executions_status CHECK (
        status IN ('queued', 'running', 'waiting', 'completed', 'failed', 'cancelled', 'timed_out')
    ),
    source text NOT NULL DEFAULT 'api' CONSTRAINT ck_executions_source CHECK (source IN ('api', 'temporal')),
    metadata jsonb NOT NULL DEFAULT '{}'::jsonb,
    idempotency_key text,
    request_hash bytea,
    last_seq bigint NOT NULL DEFAULT '0',
    attempt integer NOT NULL DEFAULT 0,
    attempt_turn integer NOT NULL DEFAULT 0,
    attempt_dispatch integer NOT NULL DEFAULT 0,
    attempt_try integer NOT NULL DEFAULT 0,
    attempt_token text NOT NULL DEFAULT '',
    attempt_batch integer NOT NULL DEFAULT 0,
    worker_id text,
    response text,
    model text,
    finish_reason text,
    error jsonb,
    usage jsonb NOT NULL DEFAULT '{}'::jsonb,
    started_at timestamptz,
    finished_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    reconciled_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ix_executions_organization_id_created_at ON executions (organization_id, created_at, id);
CREATE INDEX ix_executions_agent_id ON executions (agent_id);
CREATE INDEX ix_executions_session_id ON executions (session_id);
CREATE UNIQUE INDEX uq_executions_organization_id_idempotency_key
    ON executions (organization_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX ix_executions_unsettled ON executions (reconciled_at)
    WHERE status IN ('queued', 'running', 'waiting');
"""

TURNS = """
CREATE TABLE turns (
    execution_id uuid NOT NULL CONSTRAINT fk_turns_execution_id REFERENCES executions (id) ON DELETE CASCADE,
    turn integer NOT NULL,
    message_id uuid,
    status text NOT NULL DEFAULT 'running'
        CONSTRAINT ck_turns_status CHECK (status IN ('running', 'completed', 'interrupted', 'failed')),
    outcome jsonb,
    usage jsonb NOT NULL DEFAULT '{}'::jsonb,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    organization_id uuid NOT NULL,
    CONSTRAINT pk_turns PRIMARY KEY (execution_id, turn)
);
CREATE TABLE attempts (
    execution_id uuid NOT NULL CONSTRAINT fk_attempts_execution_id REFERENCES executions (id) ON DELETE CASCADE,
    attempt integer NOT NULL,
    turn integer NOT NULL,
    dispatch integer NOT NULL,
    try_number integer NOT NULL,
    worker_id text NOT NULL,
    status text NOT NULL DEFAULT 'running' CONSTRAINT ck_attempts_status CHECK (
        status IN ('running', 'completed', 'interrupted', 'preempted', 'failed', 'lost')
    ),
    error jsonb,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    organization_id uuid NOT NULL,
    CONSTRAINT pk_attempts PRIMARY KEY (execution_id, attempt)
);
"""

EVENTS = """
CREATE TABLE events (
    execution_id uuid NOT NULL CONSTRAINT fk_events_execution_id REFERENCES executions (id) ON DELETE CASCADE,
    seq bigint NOT NULL,
    turn integer,
    attempt integer,
    type text NOT NULL,
    data jsonb NOT NULL,
    organization_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_events PRIMARY KEY (execution_id, seq)
);
CREATE UNLOGGED TABLE deltas (
    execution_id uuid NOT NULL,
    attempt integer NOT NULL,
    message integer NOT NULL,
    "offset" integer NOT NULL,
    text text NOT NULL,
    organization_id uuid NOT NULL,
    CONSTRAINT pk_deltas PRIMARY KEY (execution_id, attempt, message, "offset")
);
"""

WORKERS = """
CREATE TABLE workers (
    id text NOT NULL CONSTRAINT pk_workers PRIMARY KEY,
    organization_id uuid NOT NULL,
    pool text NOT NULL,
    task_queue text NOT NULL,
    kind text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    slots integer NOT NULL,
    running integer NOT NULL,
    runtimes jsonb NOT NULL DEFAULT '[]'::jsonb,
    providers jsonb NOT NULL DEFAULT '{}'::jsonb,
    tool_modules jsonb NOT NULL DEFAULT '[]'::jsonb,
    draining boolean NOT NULL DEFAULT false,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ix_workers_pool ON workers (pool);
CREATE INDEX ix_workers_seen_at ON workers (seen_at);
"""

SEED = "INSERT INTO organizations (id, name, operator) VALUES (gen_random_uuid(), 'default', true)"

FUNCTIONS = """
CREATE FUNCTION holdfast_key(key_hash bytea) RETURNS TABLE (
    id uuid, organization_id uuid, name text, scopes text[], expires_at timestamptz, revoked_at timestamptz,
    operator boolean
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.id, k.organization_id, k.name, k.scopes, k.expires_at, k.revoked_at, o.operator
    FROM api_keys k JOIN organizations o ON o.id = k.organization_id
    WHERE k.hash = key_hash
$$;
CREATE FUNCTION holdfast_operator_organization() RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT id FROM organizations WHERE operator
$$;
CREATE FUNCTION holdfast_unsettled(idle_seconds double precision, max_rows int) RETURNS TABLE (
    organization_id uuid, id uuid, workflow_id text, first_run_id text, status text, attempt_turn int
) LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH due AS (
        SELECT e.id, e.reconciled_at FROM executions e
        WHERE e.status IN ('queued', 'running', 'waiting')
            AND e.reconciled_at < now() - make_interval(secs => idle_seconds)
            AND e.updated_at < now() - make_interval(secs => idle_seconds)
        ORDER BY e.reconciled_at
        LIMIT max_rows
        FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE executions e SET reconciled_at = now() FROM due WHERE e.id = due.id
        RETURNING e.organization_id, e.id, e.workflow_id, e.first_run_id, e.status, e.attempt_turn
    )
    SELECT claimed.* FROM claimed JOIN due ON due.id = claimed.id ORDER BY due.reconciled_at
$$;
"""

FUNCTION_SIGNATURES = (
    "holdfast_key(bytea)",
    "holdfast_operator_organization()",
    "holdfast_unsettled(double precision, int)",
)

#: Tables under row-level security, with what the application may do to their rows.
PRIVILEGES = {
    "organizations": "SELECT",
    "api_keys": "SELECT, INSERT, UPDATE",
    "agents": "SELECT, INSERT, UPDATE, DELETE",
    "agent_versions": "SELECT, INSERT",
    "sessions": "SELECT, INSERT, UPDATE, DELETE",
    "messages": "SELECT, INSERT, UPDATE, DELETE",
    "executions": "SELECT, INSERT, UPDATE, DELETE",
    "turns": "SELECT, INSERT, UPDATE",
    "attempts": "SELECT, INSERT, UPDATE",
    "events": "SELECT, INSERT",
    "deltas": "SELECT, INSERT, UPDATE, DELETE",
}

READ_BY_FUNCTIONS = ("organizations", "api_keys", "executions")

#: Where the owner is no superuser, it reads past the policies too, but only inside a function that others call.
INSIDE_A_FUNCTION = "current_setting('role') <> 'none' OR session_user <> current_user"


def upgrade() -> None:
    for part in (ORGANIZATIONS, AGENTS, SESSIONS, EXECUTIONS, TURNS, EVENTS, WORKERS, SEED, FUNCTIONS):
        op.execute(part)
    role = context.config.attributes["app_role"]
    for table, privileges in PRIVILEGES.items():
        _secure(table)
        op.execute(f"GRANT {privileges} ON {table} TO {role}")
    for table in READ_BY_FUNCTIONS:
        op.execute(f"CREATE POLICY definer ON {table} FOR SELECT TO CURRENT_USER USING ({INSIDE_A_FUNCTION})")
    op.execute(f"CREATE POLICY claimer ON executions FOR UPDATE TO CURRENT_USER USING ({INSIDE_A_FUNCTION})")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON workers TO {role}")
    op.execute(f"GRANT USAGE ON SEQUENCE message_position TO {role}")
    op.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
    for signature in FUNCTION_SIGNATURES:
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {role}")


def _secure(table: str) -> None:
    column = "id" if table == "organizations" else "organization_id"
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY organization ON {table}"
        f" USING ({column} = nullif(current_setting('holdfast.organization_id', true), '')::uuid)"
    )
