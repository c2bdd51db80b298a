"""Limits and output schemas, at agents and at starts: checked when they are written, shown as they hold."""

from typing import Any
from uuid import uuid4

import pytest

from services.agent_settings import AgentSettings, read_settings
from services.budget import Limits
from services.control_plane_client.models import AttemptEnd
from services.model_gateway.policy import ModelPolicy
from tests.control_plane.api.organizations import code
from tests.control_plane.installation import Installation

EXECUTIONS, AGENTS = "/api/v1/executions", "/api/v1/agents"
PROMPT = {"agent_id": "demo", "prompt": "x"}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
CONFIGURATION: dict[str, Any] = {
    "budget": {"tokens": 1000, "cost_usd": 0.5},
    "on_budget": "pause",
    "on_outcome_unknown": "ask_human",
    "approval_timeout_seconds": 60,
    "output_schema": SCHEMA,
    "model_fallbacks": ["openai/small"],
    "model_timeouts": {"idle_seconds": 10},
    "model_retries": {"attempts": 2},
    "response_cache": {"ttl_seconds": 60},
}


async def test_a_start_has_limits_and_a_schema_of_its_own(installation: Installation) -> None:
    turn = await installation.turn(budget={"tokens": 100, "cost_usd": 1}, output_schema=SCHEMA)
    opened = await turn.open()
    await turn.close(AttemptEnd.COMPLETED, response='{"n": 1}', output={"n": 1})
    shown = await installation.get(turn.execution["id"])
    result = (await installation.http.get(f"{EXECUTIONS}/{turn.execution['id']}/result")).json()

    assert (opened["budget"], opened["output_schema"]) == ({"tokens": 100, "cost_usd": 1}, SCHEMA)
    assert (shown["budget"], shown["output_schema"]) == ({"tokens": 100, "cost_usd": 1}, SCHEMA)
    assert (shown["output"], result["output"]) == ({"n": 1}, {"n": 1})
    assert (shown["parent_id"], shown["usage"]["cost_usd"]) == (None, 0)
    assert shown["seconds"] >= 0


async def test_a_start_of_temporals_has_them_too(installation: Installation) -> None:
    wanted = PROMPT | {"budget": {"tool_calls": 3}, "output_schema": SCHEMA}
    request = {"execution_id": str(uuid4()), "workflow_id": "afar", "first_run_id": "run", "input": wanted}
    headers = installation.owner.auth("worker")

    admitted = await installation.http.post("/internal/v1/executions", json=request, headers=headers)

    shown = await installation.get(admitted.json()["execution_id"])
    assert (shown["budget"], shown["output_schema"]) == ({"tool_calls": 3}, SCHEMA)


async def test_a_start_raises_no_limit_and_is_told(installation: Installation) -> None:
    limits = {"name": "limited", "model_id": "none", "runtime": "scripted", "configuration": {"budget": {"tokens": 50}}}
    await installation.http.post(AGENTS, json=limits)

    raised = await installation.accept(agent_id="limited", budget={"tokens": 60, "seconds": 5})
    lowered = await installation.accept(agent_id="limited", budget={"tokens": 40})

    assert "budget_not_raised" in [warning["code"] for warning in raised["warnings"]]
    assert "tokens = 50" in str(raised["warnings"])
    assert "budget_not_raised" not in [warning["code"] for warning in lowered["warnings"]]


async def test_an_idempotency_key_is_bound_to_the_limits(installation: Installation) -> None:
    headers = {"Idempotency-Key": "limits"}
    await installation.http.post(EXECUTIONS, json=PROMPT, headers=headers)

    answer = await installation.http.post(EXECUTIONS, json=PROMPT | {"budget": {"tokens": 5}}, headers=headers)

    assert code(answer) == (422, "idempotency_mismatch")


async def test_what_the_api_takes_of_an_agent_the_worker_understands(installation: Installation) -> None:
    agent = {"name": "careful", "model_id": "none", "runtime": "scripted", "configuration": CONFIGURATION}

    made = await installation.http.post(AGENTS, json=agent)
    changed = await installation.http.patch(f"{AGENTS}/careful", json={"configuration": CONFIGURATION})

    assert made.json()["configuration"] == changed.json()["configuration"] == CONFIGURATION
    settings = read_settings(AgentSettings, made.json()["configuration"])
    assert (settings.budget, settings.on_budget) == (Limits(tokens=1000, cost_usd=0.5), "pause")
    assert read_settings(ModelPolicy, made.json()["configuration"]).model_fallbacks == ["openai/small"]


@pytest.mark.parametrize(
    ("change", "expected", "field"),
    [
        ({"budget": {"tokns": 5}}, "field_unknown", "/budget/tokns"),
        ({"budget": {"tokens": 0}}, "value_invalid", "/budget/tokens"),
        ({"budget": {"tokens": "5"}}, "type_error", "/budget/tokens"),
        ({"budget": {"tokens": 1.5}}, "type_error", "/budget/tokens"),
        ({"budget": {"cost_usd": -1}}, "value_invalid", "/budget/cost_usd"),
        ({"output_schema": {"type": "objekt"}}, "schema_invalid", "/output_schema"),
        ({"output_schema": {"$ref": "http://127.0.0.1:1/schema"}}, "schema_invalid", "/output_schema"),
        ({"output_schema": {"$ref": "file:///etc/passwd"}}, "schema_invalid", "/output_schema"),
        ({"output_schema": {"description": "x" * 70_000}}, "schema_invalid", "/output_schema"),
        ({"output_schema": []}, "type_error", "/output_schema"),
    ],
)
async def test_a_setting_that_cannot_be_is_refused_at_starts_and_at_agents(
    installation: Installation, change: dict[str, Any], expected: str, field: str
) -> None:
    agent = {"name": "wrong", "model_id": "none", "runtime": "scripted", "configuration": change}

    start = await installation.http.post(EXECUTIONS, json=PROMPT | change)
    made = await installation.http.post(AGENTS, json=agent)

    assert [code(answer) for answer in (start, made)] == [(422, expected)] * 2
    assert [answer.json()["field"] for answer in (start, made)] == [field, f"/configuration{field}"]


@pytest.mark.parametrize(
    ("configuration", "expected", "field"),
    [
        ({"on_budget": "ask"}, "value_invalid", "/on_budget"),
        ({"on_outcome_unknown": "retry"}, "value_invalid", "/on_outcome_unknown"),
        ({"approval_timeout_seconds": 0}, "value_invalid", "/approval_timeout_seconds"),
        ({"model_timeouts": {"idle": 5}}, "field_unknown", "/model_timeouts/idle"),
        ({"model_retries": {"attempts": 100}}, "value_invalid", "/model_retries/attempts"),
        ({"response_cache": {}}, "field_missing", "/response_cache/ttl_seconds"),
        ({"model_fallbacks": ["x"] * 11}, "value_invalid", "/model_fallbacks"),
    ],
)
async def test_a_policy_that_cannot_be_is_refused(
    installation: Installation, configuration: dict[str, Any], expected: str, field: str
) -> None:
    agent = {"name": "wrong", "model_id": "none", "configuration": configuration}

    answer = await installation.http.post(AGENTS, json=agent)

    assert code(answer) == (422, expected)
    assert answer.json()["field"] == f"/configuration{field}"
