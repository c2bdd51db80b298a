"""What is said at creation: what executions would wait for, or fail with."""

from typing import Any

import pytest

from tests.conftest import NewStack
from tests.control_plane.api.organizations import code
from tests.stack import Stack

#: What a toolset may be.
KNOWN = "Known: file_system, mcp, python, python_code, shell, task, web."

AGENTS = "/api/v1/agents"


@pytest.mark.parametrize(
    ("model_id", "warned", "hint"),
    [
        ("anthropic/claude-sonnet-5", "credential_missing", "Set ANTHROPIC_API_KEY on the worker."),
        ("openai/gpt-5", "credential_missing", "Set OPENAI_API_KEY on the worker."),
        ("listed/gpt-unlisted", "model_unknown", "Provider 'listed' has these models: tiny, small."),
    ],
)
async def test_a_model_that_no_worker_reaches_is_a_warning_with_its_remedy(
    stack: Stack, model_id: str, warned: str, hint: str
) -> None:
    agent = await stack.agent(f"reaches-{model_id.replace('/', '-')}", model_id=model_id)

    assert [(each["code"], each["hint"]) for each in agent["warnings"]] == [(warned, hint)]


async def test_a_fallback_that_no_worker_reaches_is_a_warning(stack: Stack) -> None:
    fallbacks = {"model_fallbacks": ["listed/tiny", "nope/x"]}
    agent = await stack.agent("falls-back", model_id="listed/small", configuration=fallbacks)

    (warned,) = agent["warnings"]
    assert (warned["code"], "'nope/x'" in warned["message"]) == ("model_unknown", True)


async def test_a_listed_model_is_no_warning(stack: Stack) -> None:
    assert (await stack.agent("listed", model_id="listed/tiny"))["warnings"] == []


async def test_functions_that_no_worker_allows_are_a_warning(stack: Stack) -> None:
    allowed = await stack.agent("allowed", toolsets=[_functions("tests.tools:fail")])
    refused = await stack.agent("refused", toolsets=[_functions("tests.tools:fail", "os.path:join")])

    assert allowed["warnings"] == []
    assert [each["code"] for each in refused["warnings"]] == ["toolset_invalid"]
    assert "'os.path'" in refused["warnings"][0]["message"]
    assert "HOLDFAST_PYTHON_TOOL_MODULES" in refused["warnings"][0]["hint"]


@pytest.mark.parametrize(
    ("toolset", "problem", "hint"),
    [
        ({"type": "pyton", "functions": ["a:b"]}, "value_invalid", "Did you mean 'python'?"),
        (
            {"type": "carrier_pigeon"},
            "value_invalid",
            KNOWN,
        ),
        ({"functions": ["a:b"]}, "field_missing", KNOWN),
    ],
)
async def test_a_toolset_of_no_known_type_is_refused_at_its_type(
    stack: Stack, toolset: dict[str, Any], problem: str, hint: str
) -> None:
    body = {"name": "never-made", "model_id": "scripted/scripted", "toolsets": [{"type": "file_system"}, toolset]}

    answer = await stack.http.post(AGENTS, json=body)

    assert code(answer) == (422, problem)
    assert (answer.json()["field"], answer.json()["hint"]) == ("/toolsets/1/type", hint)


async def test_a_runtime_without_a_worker_is_a_warning_until_one_comes(new_stack: NewStack) -> None:
    async with new_stack() as stack:
        agent = (await stack.http.get(f"{AGENTS}/plain")).json()
        waiting = await _execution(stack)
        stack.add_worker("scripted").start()
        await stack.result(waiting["id"])
        served = await _execution(stack)

        expected = {
            "code": "runtime_not_live",
            "message": "No live worker serves the runtime 'scripted'; the execution waits until one does.",
            "hint": "holdfast worker --pool scripted",
        }
        assert waiting["warnings"] == [expected]
        assert [each["code"] for each in agent["warnings"]] == ["runtime_not_live"]
        assert (await stack.http.get(f"{AGENTS}/plain")).json()["warnings"] == served["warnings"] == []


async def test_an_agent_may_be_made_for_a_runtime_that_nobody_knows_yet(stack: Stack) -> None:
    body = {"name": "of-the-future", "model_id": "scripted/scripted", "runtime": "zebra"}

    made = await stack.http.post(AGENTS, json=body)
    waiting = await stack.http.post("/api/v1/executions", json={"agent_id": "of-the-future", "prompt": "hi"})

    assert (made.status_code, waiting.status_code) == (201, 201)
    (warning,) = made.json()["warnings"]
    assert (warning["code"], warning["hint"]) == ("runtime_not_live", "holdfast worker --pool zebra")
    assert waiting.json()["status"] == "waiting_for_pool"
    await stack.http.post(f"/api/v1/executions/{waiting.json()['id']}/cancel")


async def _execution(stack: Stack) -> dict[str, Any]:
    answer = await stack.http.post("/api/v1/executions", json={"agent_id": "plain", "prompt": "hi"})
    return answer.json()


def _functions(*paths: str) -> dict[str, Any]:
    return {"type": "python", "functions": list(paths)}
