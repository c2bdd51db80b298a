"""What processes say to Prometheus of a stack that was at work."""

import re
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from control_plane.cli.failures import ExitCode
from tests.control_plane.cli.conftest import Cli
from tests.observed import PATIENTLY, POOL, Observed

pytestmark = PATIENTLY
SCRIPTED = {"provider": "scripted", "model": "scripted"}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}")


def test_turns_are_counted_by_how_they_ended_and_how_long_they_took(observed: Observed) -> None:
    worker = observed.worker

    assert worker.value("holdfast_attempts_total", runtime=POOL, outcome="completed") == 3
    assert worker.value("holdfast_attempts_total", runtime=POOL, outcome="failed") == 1
    assert worker.value("holdfast_errors_total", runtime=POOL, code="model_request_rejected") == 1
    assert worker.value("holdfast_agent_response_seconds_count", outcome="completed") == 3
    assert worker.value("holdfast_agent_response_seconds_sum", outcome="completed") > 1
    assert worker.value("holdfast_first_token_seconds_count", runtime=POOL) == 2


def test_a_lost_worker_shows_where_it_was_missed_and_in_what_was_replayed(observed: Observed) -> None:
    assert observed.api.value("holdfast_attempts_lost_total", runtime=POOL) == 1
    assert observed.worker.value("holdfast_journal_replays_total", kind="tool_call") == 1
    assert observed.worker.value("holdfast_journal_replays_total", kind="model_call") == 1


def test_tool_calls_are_counted_by_their_outcome_without_names_that_the_model_made_up(observed: Observed) -> None:
    calls = {
        (sample.labels["tool"], sample.labels["outcome"]): sample.value
        for sample in observed.worker.families["holdfast_tool_invocations"].samples
    }

    assert calls == {("write_file", "completed"): 2, ("read_file", "failed"): 1, ("other", "refused"): 1}


def test_model_calls_are_counted_with_tokens_and_cost(observed: Observed) -> None:
    worker = observed.worker
    tokens = {
        kind: worker.value("holdfast_tokens_total", **SCRIPTED, kind=kind)
        for kind in ("input", "output", "cached_input", "reasoning")
    }

    assert worker.value("holdfast_model_calls_total", **SCRIPTED, outcome="completed") == 4
    assert worker.value("holdfast_model_calls_total", **SCRIPTED, outcome="failed") == 1
    assert worker.value("holdfast_model_errors_total", provider="scripted", code="model_request_rejected") == 1
    assert worker.value("holdfast_model_call_seconds_count", **SCRIPTED) == 5
    assert worker.value("holdfast_model_first_token_seconds_count", **SCRIPTED) == 4
    assert (tokens["cached_input"], tokens["reasoning"]) == (20, 10)
    assert tokens["input"] > 100
    assert tokens["output"] > 400
    assert worker.value("holdfast_cost_usd_total", provider="deepseek", model="deepseek-chat") > 0
    assert worker.value("holdfast_unpriced_model_calls_total", **SCRIPTED) == 4


def test_slots_are_what_autoscalers_ask_for(observed: Observed) -> None:
    worker = observed.worker
    slots, used = worker.value("holdfast_slots", pool=POOL), worker.value("holdfast_slots_used", pool=POOL)

    assert (used, slots) == (1, worker.value("holdfast_slots"))
    assert worker.value("holdfast_slots_used_ratio", pool=POOL) == pytest.approx(used / slots)
    assert worker.value("holdfast_turns_running", pool=POOL, runtime=POOL) == 1


def test_memory_is_that_of_the_process_and_of_its_machine(observed: Observed) -> None:
    worker = observed.worker

    assert worker.value("process_resident_memory_bytes") > 50_000_000
    assert 0 < worker.value("holdfast_memory_used_bytes") < worker.value("holdfast_memory_limit_bytes")


def test_the_control_plane_says_what_is_under_way_and_what_waits(observed: Observed) -> None:
    api = observed.api

    assert api.value("holdfast_executions", status="running", runtime=POOL, pool=POOL) == 1
    assert api.value("holdfast_executions", status="waiting_for_pool", runtime="langgraph", pool="") == 1
    assert api.value("holdfast_executions_ended_total", runtime=POOL, status="completed") == 3
    assert api.value("holdfast_executions_ended_total", runtime=POOL, status="failed") == 1
    assert api.value("holdfast_api_errors_total", code="not_found", status="404") >= 1
    assert api.value("holdfast_workers", pool=POOL, kind="runtime") >= 1
    assert api.value("holdfast_workers", pool="workflows", kind="workflow") == 1
    assert api.value("holdfast_queue_depth", pool=POOL) == 0
    assert api.value("holdfast_task_queue_backlog", pool=POOL) == 0
    assert api.value("holdfast_dependency_up", dependency="database") == 1
    assert api.value("holdfast_dependency_up", dependency="temporal") == 1


def test_pages_name_no_execution_and_nothing_that_anybody_said(observed: Observed) -> None:
    for page in (observed.api, observed.worker):
        assert UUID.findall(page.text) == []
        assert "gone" not in page.text
        assert 'component="' in page.text


async def test_the_page_needs_no_key_and_no_host_name(observed: Observed) -> None:
    async with httpx.AsyncClient(base_url=observed.stack.api_url, trust_env=False) as nobody:
        page = await nobody.get("/metrics", headers={"Host": "10.1.2.3:8080"})
        other = await nobody.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})

    assert page.headers["content-type"].startswith("text/plain; version=")
    assert other.headers["content-type"].startswith("application/openmetrics-text")
    assert other.text.endswith("# EOF\n")


async def test_an_execution_says_what_it_took(observed: Observed) -> None:
    answer = await observed.stack.http.get(f"/api/v1/executions/{observed.execution}/metrics")

    took = answer.json()
    assert took["attempts"] == {"total": 2, "lost": 1, "by_status": {"lost": 1, "completed": 1}}
    assert took["tool_calls"]["write_file"] | {"replayable": 1} == took["tool_calls"]["write_file"]
    assert (took["model_calls"]["completed"], took["model_calls"]["replayable"]) == (2, 1)
    assert took["usage"]["model_calls"] == took["model_calls"]["total"]
    assert 0 < took["queued_seconds"] < took["first_token_seconds"] < took["total_seconds"]
    assert took["output_tokens_per_second"] > 0
    assert (took["status"], took["turns"], took["errors"]) == ("completed", 1, {})


async def test_the_command_shows_what_an_execution_took(observed: Observed, tmp_path: Path) -> None:
    cli = Cli(tmp_path, observed.stack.api_url, observed.stack.api_key)

    table = cli("executions", "metrics", observed.execution)
    missing = cli("executions", "metrics", str(uuid4()))

    assert cli.json("executions", "metrics", observed.execution)["attempts"]["lost"] == 1
    assert re.search(r"^attempts\.lost +1$", table.stdout, re.MULTILINE)
    assert missing.returncode == ExitCode.NOT_FOUND
