"""Brings a database to the current schema."""

import re
from collections.abc import Callable, Mapping
from importlib.resources import as_file, files
from typing import Any
from uuid import UUID

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from db.session import driver_url

#: Key of the advisory lock that lets one migration run at a time.
LOCK = 0x486F6C64

#: Takes an organization, an agent or a template, and its toolsets as JSON: puts references in the place of plain
#: values, and gives the rows of the table `secrets` that these belong into.
MoveSecrets = Callable[[UUID, str, list[Any]], list[dict[str, Any]]]

ROLE_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class MigrationRefused(Exception):
    """The migration lacks something, such as a right of the database user; the message says what would help."""


def upgrade(
    url: str,
    *,
    app_role: str = "holdfast_app",
    api_user: str | None = None,
    revision: str = "head",
    move_secrets: MoveSecrets | None = None,
) -> None:
    """Bring the database to a schema, the newest one, and let the current user act as `app_role`, and `api_user` too.

    Does nothing where nothing is to do; a second caller waits for the first.

    Raises:
        ValueError: `url` is no PostgreSQL URL, or `app_role` no plain lower-case name.
        MigrationRefused: the user may not create, use or grant the role, or not create tables; no such `api_user`;
            `move_secrets` cannot move what is there.
        sqlalchemy.exc.OperationalError: the database cannot be reached.
    """
    if not ROLE_NAME.fullmatch(app_role):
        raise ValueError(f"'{app_role}' is no role name: lower-case letters, digits and _ only.")
    engine = create_engine(driver_url(url), poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK})
        _ensure_role(connection, app_role)
        if api_user is not None:
            _ensure_member(connection, app_role, api_user)
        connection.commit()
        _run(connection, revision, {"app_role": app_role, "move_secrets": move_secrets or _refuse})


def _refuse(organization_id: UUID, owner: str, toolsets: list[Any]) -> list[dict[str, Any]]:
    raise MigrationRefused("Definitions hold plain values that are to be moved, and nothing here moves them.")


def _run(connection: Connection, revision: str, attributes: Mapping[str, Any]) -> None:
    with as_file(files("db") / "migrations") as scripts:
        config = Config()
        config.set_main_option("script_location", str(scripts).replace("%", "%%"))
        config.attributes.update({"connection": connection, **attributes})
        try:
            command.upgrade(config, revision)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == "42501":
                raise MigrationRefused(f"The database user may not migrate: {error.orig}") from error
            raise


def _ensure_role(connection: Connection, role: str) -> None:
    if _may_act_as(connection, role):
        return
    if not _attempt(connection, f"CREATE ROLE {role} NOLOGIN NOBYPASSRLS") and not _exists(connection, role):
        raise MigrationRefused(
            f"Role '{role}' does not exist and this user may not create it."
            f" As a superuser run: CREATE ROLE {role} NOLOGIN; GRANT {role} TO {_user(connection)};"
        )
    _attempt(connection, f"GRANT {role} TO CURRENT_USER")
    if not _may_act_as(connection, role):
        raise MigrationRefused(
            f"This user may not act as role '{role}'. As a superuser run: GRANT {role} TO {_user(connection)};"
        )


def _ensure_member(connection: Connection, role: str, user: str) -> None:
    """The user that the API logs in as, where it is not the one that migrates."""
    quoted = _quoted(connection, user)
    if not _exists(connection, user):
        raise MigrationRefused(
            f"There is no database user {quoted}, as which the API is to log in."
            f" As a superuser run: CREATE ROLE {quoted} LOGIN PASSWORD '…';"
        )
    if _is_member(connection, role, user):
        return
    if not _attempt(connection, f"GRANT {role} TO {quoted}"):
        raise MigrationRefused(
            f"This user may not let {quoted} act as role '{role}'. As a superuser run: GRANT {role} TO {quoted};"
        )


def _is_member(connection: Connection, role: str, user: str) -> bool:
    query = text("SELECT pg_has_role(:user, :role, 'MEMBER')")
    return bool(connection.execute(query, {"user": user, "role": role}).scalar_one())


def _may_act_as(connection: Connection, role: str) -> bool:
    return _attempt(connection, f"SET LOCAL ROLE {role}; RESET ROLE")


def _attempt(connection: Connection, statement: str) -> bool:
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(statement)
    except DBAPIError:
        return False
    return True


def _exists(connection: Connection, role: str) -> bool:
    found = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
    return found.first() is not None


def _quoted(connection: Connection, name: str) -> str:
    return str(connection.execute(text("SELECT quote_ident(:name)"), {"name": name}).scalar_one())


def _user(connection: Connection) -> str:
    return str(connection.execute(text("SELECT quote_ident(current_user)")).scalar_one())
