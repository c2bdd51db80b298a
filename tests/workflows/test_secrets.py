"""Secrets on a real stack: they reach the servers that need them, on any worker, and nobody else hears of them."""

import base64
import json
import sys
import zlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, cast
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg import sql
from temporalio.client import WorkflowFailureError

from tests.architecture.source import ROOT
from tests.conftest import NewStack
from tests.control_plane.api.organizations import new_organization
from tests.control_plane.tracing.collector import Collector, collector
from tests.invariants import assert_ended_well
from tests.services.tools.test_mcp import STDIO, url
from tests.services.tools.test_mcp_refusals import Guard, guarded
from tests.stack import Stack

__all__ = ["url"]

RUNTIMES = ("native", "claude_code")
HEADER, VARIABLE, OWN = (f"canary-{what}-{uuid4().hex}" for what in ("header", "variable", "own"))
DIGEST = sha256(VARIABLE.encode()).hexdigest()


@dataclass(frozen=True)
class Secretive:
    """A stack with two secrets, and a server over HTTP that wants one of them."""

    stack: Stack
    guard: Guard
    traces: Collector

    def servers(self, env: Any, header: Any) -> list[dict[str, Any]]:
        """A toolset with a server that is started, and one over HTTP."""
        near = {**STDIO, "env": {"TOKEN": env}, "only": ["digest", "show", "die_telling"]}
        far = {"url": self.guard.url, "headers": {"Authorization": header}, "only": ["add"]}
        return [{"type": "mcp", "servers": {"near": near, "far": far}}]

    async def agent(self, env: Any = None, header: Any = None, runtime: str = "native") -> str:
        """An agent with both servers, by default with references."""
        name = f"{runtime.replace('_', '-')}-{uuid4().hex[:8]}"
        model = "anthropic_scripted/scripted" if runtime == "claude_code" else "scripted/scripted"
        toolsets = self.servers(env or {"secret": "VARIABLE"}, header or {"secret": "HEADER"})
        await self.stack.agent(name, runtime=runtime, model_id=model, toolsets=toolsets)
        return name


def called(**calls: Mapping[str, Any]) -> str:
    return " && ".join(f"{name} {json.dumps(arguments)}" for name, arguments in calls.items())


BOTH = called(near__digest={"name": "TOKEN"}, far__add={"first": 2, "second": 3})


@pytest.fixture(scope="module")
async def secretive(new_stack: NewStack, url: str) -> AsyncGenerator[Secretive]:
    async with AsyncExitStack() as stack:
        guard = await stack.enter_async_context(guarded(url))
        guard.key = f"Bearer {HEADER}"
        settings = {
            "HOLDFAST_SANDBOX_PATHS": f"{ROOT},{sys.base_prefix}",
            "HOLDFAST_MCP_COMMANDS": sys.executable,
            "HOLDFAST_WEB_ALLOW": guard.url.split("/")[2],
            # All that there is to be told is told.
            "HOLDFAST_LOG_LEVEL": "debug",
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true",
            "HOLDFAST_WORKER_SECRETS__OF_WORKER": OWN,
        }
        traces = await stack.enter_async_context(collector())
        settings |= traces.settings
        running = await stack.enter_async_context(new_stack(pools=RUNTIMES, settings=settings))
        for name, value in {"HEADER": guard.key, "VARIABLE": VARIABLE}.items():
            answer = await running.http.put(f"/api/v1/secrets/{name}", json={"value": value})
            assert answer.is_success, answer.text
        yield Secretive(running, guard, traces)


@pytest.mark.parametrize("runtime", RUNTIMES)
async def test_both_kinds_of_servers_get_their_secrets(secretive: Secretive, runtime: str) -> None:
    execution = await secretive.stack.start(f"[[tool {BOTH};; say done]]", await secretive.agent(runtime=runtime))

    result = await secretive.stack.result(execution)

    assert sorted(message["result"] for message in result["tool_messages"]) == sorted([DIGEST, "5"])
    assert result["response"] == "done"


async def test_a_later_attempt_on_another_worker_gets_them_too(secretive: Secretive) -> None:
    stack, name = secretive.stack, await secretive.agent()
    script = f"tool {BOTH};; emit 100 @40;; tool {BOTH};; say done"
    execution = await stack.start(f"[[{script}]]", name)
    await stack.until_event(execution, "tool.completed")

    stack.processes["native"].kill()
    stack.add_worker("native", "another").start()
    result = await stack.result(execution)

    events = await assert_ended_well(stack, execution)
    assert [event["type"] for event in events].count("attempt.started") >= 2
    assert sorted(message["result"] for message in result["tool_messages"]) == sorted([DIGEST, "5"] * 2)


async def test_a_secret_of_the_workers_settings_needs_no_store(secretive: Secretive) -> None:
    stack, name = secretive.stack, await secretive.agent(env={"secret": "OF_WORKER"})
    show = called(near__show={"name": "TOKEN"}, near__digest={"name": "TOKEN"})

    result = await stack.result(await stack.start(f"[[tool {show};; say done]]", name))

    told = {message["name"]: message["result"] for message in result["tool_messages"]}
    assert told == {"near__show": "It is [secret]!", "near__digest": sha256(OWN.encode()).hexdigest()}


async def test_a_missing_secret_fails_the_turn_at_once_and_is_named(secretive: Secretive) -> None:
    stack = secretive.stack
    execution = await stack.start("[[say done]]", await secretive.agent(env={"secret": "NOWHERE"}))

    result = await stack.result(execution)

    error = result["error"]
    assert (error["code"], error["retryable"]) == ("secret_missing", False)
    assert "There is no secret 'NOWHERE'" in error["message"]
    assert (await stack.types(execution)).count("attempt.started") == 1


async def test_one_under_another_key_fails_the_turn_at_once_and_says_what_to_set(secretive: Secretive) -> None:
    stack = secretive.stack
    await stack.http.put("/api/v1/secrets/FOREIGN", json={"value": VARIABLE})
    async with await psycopg.AsyncConnection.connect(stack.database_url.replace("+psycopg", "")) as connection:
        await connection.execute("UPDATE secrets SET key_id = 'another' WHERE name = 'FOREIGN'")
    execution = await stack.start("[[say done]]", await secretive.agent(env={"secret": "FOREIGN"}))

    error = (await stack.result(execution))["error"]

    assert (error["code"], error["retryable"]) == ("secret_unusable", False)
    assert "'FOREIGN' cannot be opened" in error["message"]
    assert "HOLDFAST_SECRETS_KEY" in error["message"]


async def test_another_organizations_secret_of_the_same_name_is_out_of_reach(secretive: Secretive) -> None:
    stack, theirs = secretive.stack, await new_organization(secretive.stack.database_url, "theirs")
    definition = {"name": "theirs", "runtime": "native", "model_id": "scripted/scripted"}
    toolsets = [secretive.servers({"secret": name}, {"secret": "HEADER"}) for name in ("VARIABLE", "OF_WORKER")]
    async with httpx.AsyncClient(base_url=stack.api_url, headers=theirs.auth(), trust_env=False, timeout=70) as client:
        await client.put("/api/v1/secrets/HEADER", json={"value": secretive.guard.key})
        for number, each in enumerate(toolsets):
            agent = definition | {"name": f"theirs-{number}", "toolsets": each}
            await client.post("/api/v1/agents", json=agent)
            body = {"agent_id": agent["name"], "prompt": "[[say done]]"}
            started = await client.post("/api/v1/executions", json=body)
            result = await client.get(f"/api/v1/executions/{started.json()['id']}/result", params={"wait": 60})

            assert result.json()["error"]["code"] == "secret_missing"


async def test_a_definition_in_a_workflows_input_is_refused_and_goes_no_further(secretive: Secretive) -> None:
    stack, toolsets = secretive.stack, secretive.servers(VARIABLE, HEADER)
    wanted = {"agent_id": await secretive.agent(), "prompt": "[[say done]]", "toolsets": toolsets}
    handle = await stack.temporal.start_workflow(
        "AgentExecutionWorkflow", wanted, id=f"odd/{uuid4()}", task_queue="holdfast"
    )

    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()

    assert "There is no field 'toolsets' here" in str(failed.value.cause)
    _, *rest = (await handle.fetch_history()).to_json_dict()["events"]
    assert len(rest) > 3
    assert not leaked("".join(unpacked(rest)) + json.dumps(rest))


async def test_nothing_that_is_kept_or_said_holds_a_value(secretive: Secretive) -> None:
    stack, names = secretive.stack, [await secretive.agent(), await secretive.agent(VARIABLE, f"Bearer {HEADER}")]
    show, die = called(near__show={"name": "TOKEN"}), called(near__die_telling={"name": "TOKEN"})
    scripts = (f"tool {BOTH} && {show};; say done", f"tool {die};; say done")
    executions = [await stack.start(f"[[{script}]]", name) for name in names for script in scripts]
    results = [await stack.result(execution, timeout=120) for execution in executions]
    assert [result["success"] for result in results] == [True] * 4

    everything = await all_that_is_kept(secretive, executions)

    assert {place for place, text in everything.items() if leaked(text)} == set()
    assert DIGEST in everything["database"]
    assert "near__show" in everything["history"]
    assert "It is [secret]!" in everything["traces"]


async def all_that_is_kept(secretive: Secretive, executions: list[str]) -> dict[str, str]:
    """Read all that database, Temporal, API, logs and traces have, by its place."""
    stack = secretive.stack
    for execution in executions:
        await secretive.traces.trace(execution)
    return {
        "traces": b"".join(secretive.traces.raw).decode(errors="replace"),
        "database": await dumped(stack),
        "history": "".join([await history(stack, execution) for execution in executions]),
        "answers": await answered(stack, executions),
        **{path.name: path.read_text(errors="replace") for path in stack.directory.glob("*.log")},
    }


def leaked(text: str) -> bool:
    """Whether one of the values is in a text, as it is or in base64."""
    encoded = [base64.b64encode(value.encode()).decode().rstrip("=")[:-1] for value in (HEADER, VARIABLE, OWN)]
    return any(value in text for value in (HEADER, VARIABLE, OWN, *encoded))


async def dumped(stack: Stack) -> str:
    """Every row of every table, with blobs as they are before they are deflated."""
    async with await psycopg.AsyncConnection.connect(stack.database_url.replace("+psycopg", "")) as connection:
        found = await connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        texts = [str(connection.info.dbname)]
        for (table,) in await found.fetchall():
            rows = await connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)))
            texts += [repr(tuple(map(inflated, row))) for row in await rows.fetchall()]
    return "\n".join(texts)


def inflated(value: object) -> object:
    try:
        return zlib.decompress(value) if isinstance(value, bytes) else value
    except zlib.error:
        return value


async def history(stack: Stack, execution: str) -> str:
    """The workflow's history as JSON, its payloads in plain text."""
    handle = stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"])
    kept = (await handle.fetch_history()).to_json_dict()
    return json.dumps(kept) + "".join(unpacked(kept))


def unpacked(value: Any) -> list[str]:
    """Every payload, decoded."""
    if isinstance(value, list):
        return [text for each in cast("list[Any]", value) for text in unpacked(each)]
    if not isinstance(value, dict):
        return []
    fields = cast("dict[str, Any]", value)
    data: Any = fields.get("data")
    texts = [base64.b64decode(data).decode(errors="replace")] if isinstance(data, str) else []
    return texts + [text for each in fields.values() for text in unpacked(each)]


async def answered(stack: Stack, executions: list[str]) -> str:
    """Read the API's answers about all that there is."""
    paths = ["agents", "templates", "executions", "sessions", "secrets", "runtimes", "worker-pools"]
    for execution in executions:
        paths += [
            f"executions/{execution}/{what}" for what in ("result", "steps?include=request,response", "approvals")
        ]
        paths.append(f"executions/{execution}/events?follow=false")
    answers: list[httpx.Response] = [await stack.http.get(f"/api/v1/{path}") for path in paths]
    assert all(answer.is_success for answer in answers), [answer.text for answer in answers if answer.is_error]
    return "\n".join(answer.text for answer in answers)
