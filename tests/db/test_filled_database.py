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

#: A parent that is between two attempts, and its child in the middle of one.
FAMILY = (
    """
    INSERT INTO executions (id, organization_id, agent_id, agent_name, agent_version, workflow_id, runtime, task_queue,
        status, parent_id, attempt, attempt_turn, usage)
    SELECT '00000000-0000-0000-0000-000000000003', organization_id, agent_id, 'old', 1, 'old/child', 'default', '',
        'running', id, 2, 1, '{"input_tokens": 80, "output_tokens": 20, "model_calls": 2, "tool_calls": 1,
            "cost_usd": null, "known_cost_usd": 0.01, "reserved_tokens": 3, "reserved_cost_usd": 0.02}'
    FROM executions WHERE workflow_id = 'old/running'
    """,
    """
    UPDATE executions SET attempt = 1, attempt_turn = 1,
        usage = '{"input_tokens": 20, "output_tokens": 10, "model_calls": 2, "cost_usd": 0.5}'
    WHERE workflow_id IN ('old/running', 'old/completed')
    """,
    """
    INSERT INTO attempts (organization_id, execution_id, attempt, turn, dispatch, try_number, worker_id, status)
    SELECT organization_id, id, number, 1, 1, number, 'old', CASE number WHEN 2 THEN 'running' ELSE 'preempted' END
    FROM executions, generate_series(1, 2) AS number WHERE number <= attempt
    """,
    """
    INSERT INTO steps (organization_id, execution_id, turn, ordinal, attempt, kind, status, usage)
    SELECT organization_id, id, 1, number, number, 'model_call', 'done',
        '{"input_tokens": 20, "output_tokens": 10, "model_calls": 1}'
    FROM executions, generate_series(1, 2) AS number WHERE workflow_id = 'old/child'
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


def test_what_a_family_spent_before_its_budget_was_shared_counts(filled_before: Callable[[str], str]) -> None:
    url = filled_before("0011")
    for statement in FAMILY:
        execute(url, statement)

    upgrade(url)

    with create_engine(driver_url(url), poolclass=NullPool).connect() as connection:
        columns = "settled, model_calls, tool_calls, tokens, round(cost_usd::numeric, 4)::text"
        query = f"SELECT workflow_id, {columns} FROM reservations JOIN executions ON executions.id = execution_id"
        spent = connection.execute(text(f"{query} ORDER BY workflow_id")).all()
    assert spent == [("old/child", True, 3, 1, 133, "0.0300"), ("old/running", True, 2, 0, 30, "0.5000")]
