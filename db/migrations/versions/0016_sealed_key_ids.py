"""The ids of the keys under which secrets are sealed, of all organizations: the API tells which ones it lacks."""

from alembic import context, op

revision = "0016"
down_revision = "0015"

#: As for the other functions that see all organizations: an owner who is no superuser reads past the policy in there.
INSIDE_A_FUNCTION = "current_setting('role') <> 'none' OR session_user <> current_user"
FUNCTION = """
CREATE FUNCTION holdfast_sealed_key_ids() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT DISTINCT key_id FROM secrets ORDER BY key_id
$$
"""


def upgrade() -> None:
    signature = "holdfast_sealed_key_ids()"
    op.execute(f"CREATE POLICY definer ON secrets FOR SELECT TO CURRENT_USER USING ({INSIDE_A_FUNCTION})")
    op.execute(FUNCTION)
    op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {context.config.attributes['app_role']}")
