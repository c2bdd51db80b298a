"""What spans say, by OpenTelemetry's conventions for generative AI and in Holdfast's own words."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.control_plane.tracing.collector import Collector, Span, named, one
from tests.control_plane.tracing.conftest import append
from tests.stack import Stack

CONVENTIONS = vars(import_module("opentelemetry.semconv._incubating.attributes.gen_ai_attributes"))
KNOWN = {value for name, value in CONVENTIONS.items() if name.startswith("GEN_AI_")}


@pytest.fixture(scope="module")
async def spans(traced: Stack, collecting: Collector, tmp_path_factory: pytest.TempPathFactory) -> list[Span]:
    """Of an execution with a tool call between two model calls."""
    ledger: Path = tmp_path_factory.mktemp("spans") / "ledger"
    execution = await traced.start(f"[[{append(ledger, 'x')};; usage 70 9 cached 40;; say y]]", "tracer")
    await traced.result(execution)
    return await collecting.trace(execution)


@pytest.fixture(scope="module")
async def shown(traced: Stack, spans: Sequence[Span]) -> dict[str, Any]:
    """The execution as the API shows it."""
    return await traced.get(one(spans, "POST").attributes["holdfast.execution.id"])


def common(shown: dict[str, Any], spans: Sequence[Span]) -> dict[str, Any]:
    """What all spans of an attempt say."""
    return {
        "gen_ai.agent.id": shown["agent_id"],
        "gen_ai.agent.name": "tracer",
        "gen_ai.conversation.id": shown["session_id"],
        "holdfast.execution.id": shown["id"],
        "holdfast.organization.id": one(spans, "POST").attributes["holdfast.organization.id"],
        "holdfast.turn": 1,
        "holdfast.attempt": 1,
    }


async def test_an_attempt_says_which_agent_ran_and_what_it_used(spans: list[Span], shown: dict[str, Any]) -> None:
    assert one(spans, "invoke_agent").attributes == common(shown, spans) | {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.version": "1",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "scripted",
        "gen_ai.response.model": "scripted",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": shown["usage"]["input_tokens"],
        "gen_ai.usage.output_tokens": shown["usage"]["output_tokens"],
        "gen_ai.usage.cache_read.input_tokens": 40,
        "holdfast.runtime": "default",
        "holdfast.attempt.end": "completed",
    }


async def test_a_model_call_says_who_was_asked_and_what_it_used(
    traced: Stack, spans: list[Span], shown: dict[str, Any]
) -> None:
    call = named(spans, "chat scripted")[1]
    told = dict(call.attributes)

    assert 0 < told.pop("gen_ai.response.time_to_first_chunk") < call.end - call.start + 1
    assert told == common(shown, spans) | {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "scripted",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "scripted",
        "gen_ai.usage.input_tokens": 70,
        "gen_ai.usage.output_tokens": 9,
        "gen_ai.usage.cache_read.input_tokens": 40,
        "holdfast.step.ordinal": 3,
        "holdfast.step.kind": "model_call",
        "server.address": "127.0.0.1",
        "server.port": traced.ports["model"],
    }


async def test_a_tool_call_says_which_tool_was_run(traced: Stack, spans: list[Span], shown: dict[str, Any]) -> None:
    steps = (await traced.http.get(f"/api/v1/executions/{shown['id']}/steps")).json()["items"]

    assert one(spans, "execute_tool append_line").attributes == common(shown, spans) | {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "append_line",
        "gen_ai.tool.call.id": next(step["key"] for step in steps if step["kind"] == "tool_call"),
        "gen_ai.tool.type": "function",
        "holdfast.step.ordinal": 2,
        "holdfast.step.kind": "tool_call",
        "holdfast.tool.effect": "at_most_once",
    }


async def test_the_names_are_those_of_the_conventions(spans: list[Span]) -> None:
    names = {name for span in spans for name in span.attributes if name.startswith("gen_ai.")}

    assert len(names) > 10
    assert names <= KNOWN
