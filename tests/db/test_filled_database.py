"""Migrations of a database that is in use: what was there stays as it was."""

from collections.abc import Callable

import pytest
from sqlalchemy import NullPool, create_engine, text

from db.migrate import upgrade
from db.session import driver_url
from tests.postgres import database_url, execute

#: An organization's rows as version 0.1 wrote them.
ROWS = (
    "INSERT INTO organizations (id, name) VALUES ('00000000-0000-0000-0000-000000000001', 'old')",
    """
    INSERT INTO agents (id, organization_id, name, model_id)
    SELECT '00000000-0000-0000-0000-000000000002', id, 'old', 'scripted/scripted' FROM organizations WHERE name = 'old'
    """,
    """
    INSERT INTO agent_versions (agent_id, version, spec, organization_id)
    SELECT id, 1, '{"name": "old"}'::jsonb, organization_id FROM agents
    """,
    """
    INSERT INTO executions (id, organization_id, agent_id, agent_name, agent_version, workflow_id, runtime, task_queue,
        status, last_seq)
    SELECT gen_random_uuid(), organization_id, id, 'old', 1, 'old/' || status, 'default', 'holdfast.default', status, 1
    FROM agents, unnest(ARRAY['queued', 'running', 'waiting', 'completed', 'failed']) AS status
    """,
)


@pytest.fixture
def filled_before(postgres_server: str) -> Callable[[str], str]:
    """Makes a database at an old revision with rows in it."""

    def make(revision: str) -> str:
        execute(postgres_server, f"CREATE DATABASE filled_at_{revision}")
        url = database_url(postgres_server, f"filled_at_{revision}")
        upgrade(url, revision=revision)
        for statement in ROWS:
            execute(url, statement)
        return url

    return make


def test_agents_keep_their_runtime_and_come_from_no_template(filled_before: Callable[[str], str]) -> None:
    url = filled_before("0002")

    upgrade(url)

    with create_engine(driver_url(url), poolclass=NullPool).connect() as connection:
        agents = connection.execute(text("SELECT name, runtime, template FROM agents")).all()
        templates = connection.execute(text("SELECT count(*) FROM templates")).scalar_one()
    assert (agents, templates) == ([("old", "default", None)], 0)


def test_executions_keep_their_status_and_the_open_ones_are_still_looked_after(
    filled_before: Callable[[str], str],
) -> None:
    url = filled_before("0004")

    upgrade(url)

    with create_engine(driver_url(url), poolclass=NullPool).connect() as connection:
        kept = connection.execute(text("SELECT status, resolution FROM executions ORDER BY status")).all()
        unsettled = connection.execute(text("SELECT status FROM holdfast_unsettled(-1, 10)")).scalars().all()
        waiting = connection.execute(text("SELECT count(*) FROM holdfast_waiting_for_pool(now(), 10)")).scalar_one()
    assert kept == [(status, None) for status in ("completed", "failed", "queued", "running", "waiting")]
    assert (sorted(unsettled), waiting) == (["queued", "running", "waiting"], 0)


def test_executions_get_the_usual_priority_and_workers_are_asked_nothing(filled_before: Callable[[str], str]) -> None:
    url = filled_before("0003")
    execute(
        url,
        """
        INSERT INTO workers (id, organization_id, pool, task_queue, kind, host, pid, version, slots, running)
        SELECT 'old', id, 'default', 'holdfast.default', 'runtime', 'here', 1, '0.1', 8, 3 FROM organizations
        WHERE name = 'old'
        """,
    )

    upgrade(url)

    with create_engine(driver_url(url), poolclass=NullPool).connect() as connection:
        priorities = connection.execute(text("SELECT priority, count(*) FROM executions GROUP BY priority")).all()
        workers = connection.execute(text("SELECT slots, build_id, drain_requested_at FROM workers")).all()
    assert (priorities, workers) == ([(3, 5)], [(8, "", None)])
