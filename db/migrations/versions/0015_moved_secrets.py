"""Values of headers, env and queries leave the definitions of agents and templates, and are sealed in `secrets`."""

import json
from collections.abc import Iterator
from typing import Any

from alembic import context, op
from sqlalchemy import Connection, text

revision = "0015"
down_revision = "0014"

#: The table's owner is held to its policies, too.
TABLES = ("agents", "agent_versions", "templates", "secrets")
#: Where toolsets are, and what tells one row from another.
DEFINITIONS = {
    "agents": ("toolsets", "name", ("id",)),
    "agent_versions": ("spec->'toolsets'", "spec->>'name'", ("agent_id", "version")),
    "templates": ("defaults->'toolsets'", "name", ("organization_id", "name")),
}
STORED = {
    "agents": "toolsets = CAST(:toolsets AS jsonb)",
    "agent_versions": "spec = jsonb_set(spec, '{toolsets}', CAST(:toolsets AS jsonb))",
    "templates": "defaults = jsonb_set(defaults, '{toolsets}', CAST(:toolsets AS jsonb))",
}
PLAIN = (
    '$[*].servers.*.env.* ? (@.type() == "string" && @ <> "")',
    '$[*].servers.*.headers.* ? (@.type() == "string" && @ <> "")',
    '$[*].servers.*.query ? (@.type() == "string" && @ <> "")',
    '$[*].servers.*.url ? (@.type() == "string" && @ like_regex "[?].")',
)
SECRET = text("""
    INSERT INTO secrets (organization_id, name, key_id, wrapped_key, value, moved)
    VALUES (:organization_id, :name, :key_id, :wrapped_key, :value, true) ON CONFLICT DO NOTHING
""")


def upgrade() -> None:
    connection, move = op.get_bind(), context.config.attributes["move_secrets"]
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    for table in DEFINITIONS:
        for row in _rows(connection, table):
            toolsets: list[Any] = row.toolsets
            for secret in move(row.organization_id, row.owner, toolsets):
                connection.execute(SECRET, secret)
            _store(connection, table, row, toolsets)
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def _rows(connection: Connection, table: str) -> Iterator[Any]:
    """Those that hold a plain value."""
    toolsets, owner, keys = DEFINITIONS[table]
    fits = " OR ".join(f"jsonb_path_exists({toolsets}, '{path}')" for path in PLAIN)
    query = f"""
        SELECT {", ".join(dict.fromkeys(("organization_id", *keys)))}, {owner} AS owner, {toolsets} AS toolsets
        FROM {table} WHERE jsonb_typeof({toolsets}) = 'array' AND ({fits})
    """  # noqa: S608
    yield from connection.execution_options(no_parameters=True).exec_driver_sql(query).all()


def _store(connection: Connection, table: str, row: Any, toolsets: list[Any]) -> None:
    keys = DEFINITIONS[table][2]
    where = " AND ".join(f"{key} = :{key}" for key in keys)
    parameters = {key: getattr(row, key) for key in keys} | {"toolsets": json.dumps(toolsets)}
    connection.execute(text(f"UPDATE {table} SET {STORED[table]} WHERE {where}"), parameters)  # noqa: S608
