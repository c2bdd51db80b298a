"""How spans show what went wrong; texts of errors, which may quote prompts, stay out of them."""

from uuid import uuid4

from tests.control_plane.tracing.collector import Collector, named
from tests.stack import Stack


async def test_a_failed_model_call_marks_its_span_and_all_above_it(traced: Stack, collecting: Collector) -> None:
    secret = f"secret-{uuid4().hex}"
    execution = await traced.start(f"[[error 401 code {secret}]] {secret}", "tracer")
    await traced.until_status(execution, "failed")

    spans = await collecting.trace(execution)

    failed = {span.name: span.attributes.get("error.type") for span in spans if span.is_error}
    assert (
        failed.items()
        >= {"chat scripted": "model_authentication", "invoke_agent tracer": "model_authentication"}.items()
    )
    assert failed.keys() >= {"RunActivity:execute_agent_llm", "RunWorkflow:AgentExecutionWorkflow"}
    assert {span.told for span in spans} == {""}
    events = [event for span in spans for event in span.events]
    assert {name for name, _ in events} == {"exception"}
    assert all(about.keys() == {"exception.type"} for _, about in events)
    assert not any(secret.encode() in raw for raw in collecting.raw)


async def test_each_try_at_a_model_has_its_span(traced: Stack, collecting: Collector) -> None:
    execution = await traced.start(f"[[error 503 times 1;; say at last]] {uuid4().hex}", "tracer")
    await traced.result(execution)

    spans = await collecting.trace(execution)

    tries = [span.attributes.get("error.type") for span in named(spans, "chat")]
    answered = named(spans, "chat")[1]
    assert tries == ["model_overloaded", None]
    assert 0 < answered.attributes["gen_ai.response.time_to_first_chunk"] < answered.end - answered.start
    assert not named(spans, "invoke_agent")[0].is_error


async def test_a_failed_tool_marks_its_span_only(traced: Stack, collecting: Collector) -> None:
    secret = f"secret-{uuid4().hex}"
    execution = await traced.start(f'[[tool fail {{"reason": "{secret}"}};; tool fail {{}};; say go on]]', "tracer")
    await traced.result(execution)

    spans = await collecting.trace(execution)

    assert [span.name for span in spans if span.is_error] == ["execute_tool fail", "execute_tool fail"]
    assert {span.attributes["error.type"] for span in named(spans, "execute_tool")} == {"tool_error"}
    assert not any(secret.encode() in raw for raw in collecting.raw)
