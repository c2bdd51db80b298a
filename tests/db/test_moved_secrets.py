"""Plain values of definitions that are there: moved by the migration, all of them or none."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import NullPool, create_engine, text

from control_plane.sealing import Keyring, Place, Sealed
from control_plane.secret_moving import mover
from db.migrate import MigrationRefused, upgrade
from db.session import driver_url
from tests.postgres import as_user, database_url, execute

CANARY = "canary-5c07"
KEYRING = Keyring([bytes(32)])
OURS, THEIRS = UUID(int=1), UUID(int=2)
SERVERS: dict[str, Any] = {
    "far": {
        "url": f"https://far.example/mcp?key={CANARY}-query",
        "headers": {"Authorization": f"Bearer {CANARY}", "X-Empty": "", "X-New": {"secret": "NEW"}},
    },
    "near": {"command": ["server", "--verbose"], "env": {"TOKEN": f"{CANARY}-'\\u0022", "LANG": "C"}},
}
TOOLSETS = [{"type": "shell"}, {"type": "mcp", "servers": SERVERS, "tools": {}}]
PLAIN: list[dict[str, Any]] = [{"type": "mcp", "servers": {"far": {"url": "https://far.example/mcp", "headers": {}}}}]

MakeDatabase = Callable[[str], str]


@pytest.fixture
def filled(postgres_server: str) -> MakeDatabase:
    """Makes a database of an owner without rights of a superuser, as it was before, with definitions of all kinds."""

    def make(name: str) -> str:
        execute(postgres_server, f"CREATE ROLE {name} LOGIN NOSUPERUSER CREATEROLE")
        execute(postgres_server, f"CREATE DATABASE {name} OWNER {name}")
        upgrade(as_user(postgres_server, name, name), app_role=f"{name}_app", revision="0013")
        fill(database_url(postgres_server, name))
        return as_user(postgres_server, name, name)

    return make


def fill(url: str) -> None:
    """Two organizations with an agent of the same name and in two versions, another one, and a template."""
    toolsets = json.dumps(TOOLSETS)
    with create_engine(driver_url(url), poolclass=NullPool).begin() as connection:
        for organization, number in ((OURS, 10), (THEIRS, 20)):
            given = {"org": organization, "id": UUID(int=number), "other": UUID(int=number + 1), "toolsets": toolsets}
            given |= {"name": f"org-{number}", "plain": json.dumps(PLAIN)}
            for statement in (
                "INSERT INTO organizations (id, name) VALUES (:org, :name)",
                """
                INSERT INTO agents (id, organization_id, name, model_id, version, toolsets)
                VALUES (:id, :org, 'secretive', 'm', 2, :toolsets), (:other, :org, 'plain', 'm', 1, :plain)
                """,
                """
                INSERT INTO agent_versions (organization_id, agent_id, version, spec)
                SELECT :org, :id, version, jsonb_build_object('name', 'secretive', 'toolsets', CAST(:toolsets AS jsonb))
                FROM generate_series(1, 2) AS version
                """,
                """
                INSERT INTO templates (organization_id, name, type, defaults)
                VALUES (:org, 'own', 'task', jsonb_build_object('toolsets', CAST(:toolsets AS jsonb))),
                    (:org, 'bare', 'task', '{}')
                """,
            ):
                connection.execute(text(statement), {key: given[key] for key in given if f":{key}" in statement})


def rows(url: str, query: str) -> list[Any]:
    with create_engine(driver_url(url), poolclass=NullPool).connect() as connection:
        return list(connection.execute(text(query)).all())


def dump(url: str) -> str:
    return str([rows(url, f"SELECT * FROM {table}") for table in ("agents", "agent_versions", "templates", "secrets")])


def opened(url: str, organization_id: UUID) -> dict[str, str]:
    """The organization's secrets."""
    found = rows(url, f"SELECT * FROM secrets WHERE organization_id = '{organization_id}' AND moved")
    return {
        row.name: KEYRING.open(
            Place(organization_id, row.name, row.version), Sealed(row.key_id, row.wrapped_key, row.value)
        )
        for row in found
    }


def test_every_definition_refers_to_what_it_held(filled: MakeDatabase, postgres_server: str) -> None:
    url = filled("moved")

    upgrade(url, app_role="moved_app", move_secrets=mover(KEYRING))

    superuser = database_url(postgres_server, "moved")
    assert CANARY not in dump(superuser)
    (agent,) = rows(superuser, f"SELECT * FROM agents WHERE name = 'secretive' AND organization_id = '{OURS}'")
    versions = rows(superuser, f"SELECT spec FROM agent_versions WHERE organization_id = '{OURS}'")
    secrets = opened(superuser, OURS)
    far, near = agent.toolsets[1]["servers"]["far"], agent.toolsets[1]["servers"]["near"]
    assert (far["url"], secrets[far["query"]["secret"]]) == ("https://far.example/mcp", f"key={CANARY}-query")
    assert secrets[far["headers"]["Authorization"]["secret"]] == f"Bearer {CANARY}"
    assert (far["headers"]["X-Empty"], far["headers"]["X-New"]) == ("", {"secret": "NEW"})
    assert secrets[near["env"]["TOKEN"]["secret"]] == SERVERS["near"]["env"]["TOKEN"]
    assert near["command"] == ["server", "--verbose"]
    assert [version.spec["toolsets"] for version in versions] == [agent.toolsets] * 2
    assert agent.toolsets[0] == {"type": "shell"}
    assert (len(secrets), opened(superuser, THEIRS).keys().isdisjoint(secrets)) == (8, True)
    (plain,) = rows(superuser, f"SELECT toolsets FROM agents WHERE name = 'plain' AND organization_id = '{OURS}'")
    assert plain.toolsets == PLAIN
    forced = "SELECT count(*) FROM pg_class WHERE relforcerowsecurity AND relname IN ('agents', 'templates', 'secrets')"
    assert rows(superuser, forced)[0][0] == 3


def test_without_a_key_nothing_is_migrated_and_the_setting_is_named(filled: MakeDatabase, postgres_server: str) -> None:
    url = filled("keyless")

    with pytest.raises(MigrationRefused, match="Set HOLDFAST_SECRETS_KEY"):
        upgrade(url, app_role="keyless_app", move_secrets=mover(None))

    superuser = database_url(postgres_server, "keyless")
    assert rows(superuser, "SELECT version_num FROM alembic_version")[0][0] == "0013"
    assert rows(superuser, "SELECT toolsets FROM agents WHERE name = 'secretive'")[0][0] == TOOLSETS


def test_without_plain_values_no_key_is_needed(filled: MakeDatabase, postgres_server: str) -> None:
    url = filled("nothing")
    for table in ("agents", "agent_versions", "templates"):
        execute(database_url(postgres_server, "nothing"), f"DELETE FROM {table}")

    upgrade(url, app_role="nothing_app", move_secrets=mover(None))

    assert rows(url, "SELECT version_num FROM alembic_version")[0][0] == "0017"


def test_a_migration_that_ends_in_the_middle_is_done_again_from_the_start(
    filled: MakeDatabase, postgres_server: str
) -> None:
    url, superuser = filled("broken"), database_url(postgres_server, "broken")
    move, moved = mover(KEYRING), list[str]()

    def ends(organization_id: UUID, owner: str, toolsets: list[Any]) -> list[dict[str, Any]]:
        if len(moved) == 3:
            raise KeyboardInterrupt
        moved.append(owner)
        return move(organization_id, owner, toolsets)

    with pytest.raises(KeyboardInterrupt):
        upgrade(url, app_role="broken_app", move_secrets=ends)
    between = rows(superuser, "SELECT toolsets FROM agents WHERE name = 'secretive'")
    for _ in range(2):
        upgrade(url, app_role="broken_app", move_secrets=move)

    assert [row.toolsets for row in between] == [TOOLSETS, TOOLSETS]
    assert CANARY not in dump(superuser)
    assert len(opened(superuser, OURS)) == len(opened(superuser, THEIRS)) == 8
