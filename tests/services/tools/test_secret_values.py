"""Secrets in what MCP servers are given: put in where they are used, and told to nobody."""

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from runtimes.errors import McpServerFailed, McpServerRefused, RuntimeFailure, SecretMissing, SecretUnusable
from runtimes.manifests.scripted import SCRIPTED
from services.agent_executor import with_secrets
from services.egress import Egress
from services.sandbox.sandbox import Sandbox
from services.tools.configuration import SecretReference
from services.tools.place import TurnPlace
from services.tools.secret_values import SecretValues, WorkerSecrets
from services.tools.spec import ToolFailed
from services.tools.toolsets import Toolsets
from tests.architecture.source import ROOT
from tests.services.tools.test_mcp import CALL, STDIO, url
from tests.services.tools.test_mcp_refusals import guarded

__all__ = ["url"]

CANARY = "canary-token-7f3a91"


def place(workspace: Path, secrets: SecretValues) -> TurnPlace:
    return TurnPlace(workspace, "e", "o", turn=1, attempt=1, secrets=secrets)


def toolset(**server: Any) -> list[dict[str, Any]]:
    return [{"type": "mcp", "servers": {"far": server}}]


def started() -> Toolsets:
    return Toolsets(sandbox=Sandbox([ROOT, Path(sys.base_prefix)]), mcp_commands=[sys.executable])


def over_http(address: str) -> Toolsets:
    return Toolsets(egress=Egress([address.split("/")[2]]))


async def test_a_started_server_gets_the_value_and_its_answers_do_not_show_it(sandbox: Sandbox, tmp_path: Path) -> None:
    given = toolset(**STDIO, env={"TOKEN": {"secret": "T"}, "LANG": "C"}, only=["digest", "show"])

    async with started().open(given, place(tmp_path, SecretValues({"T": CANARY}))) as (digest, show):
        told = await digest.handler({"name": "TOKEN"}, CALL)
        shown = await show.handler({"name": "TOKEN"}, CALL)
        plain = await show.handler({"name": "LANG"}, CALL)

    assert told == sha256(CANARY.encode()).hexdigest()
    assert (shown, plain) == ("It is [secret]!", "It is C!")


async def test_the_last_words_of_a_server_do_not_tell_it(sandbox: Sandbox, tmp_path: Path) -> None:
    given = toolset(**STDIO, env={"TOKEN": {"secret": "T"}}, only=["die_telling"])
    toolsets = started()

    async with toolsets.open(given, place(tmp_path, SecretValues({"T": CANARY}))) as (die,):
        with pytest.raises(McpServerFailed) as raised:
            await die.handler({"name": "TOKEN"}, CALL)
    begun = toolset(command=[sys.executable, "-c", "import os; exit(os.environ['TOKEN'])"], env={"TOKEN": CANARY})
    with pytest.raises(McpServerFailed, match=r"\[secret\]") as failed:
        async with toolsets.open(begun, place(tmp_path, SecretValues())):
            pass

    assert CANARY not in str(raised.value) + str(failed.value) + failed.value.as_error().model_dump_json()


async def test_a_server_over_http_gets_it_in_a_header(url: str, tmp_path: Path) -> None:
    async with guarded(url) as guard:
        guard.key = f"Bearer {CANARY}"
        given = toolset(url=guard.url, headers={"Authorization": {"secret": "T"}}, only=["add", "fail"])
        secrets = SecretValues({"T": guard.key})

        async with over_http(guard.url).open(given, place(tmp_path, secrets)) as (add, fail):
            answer = await add.handler({"first": 2, "second": 3}, CALL)
            with pytest.raises(ToolFailed, match=r"bad \[secret\]") as failed:
                await fail.handler({"reason": f"bad {CANARY}"}, CALL)

    assert answer == "5"
    assert CANARY not in str(failed.value)


@asynccontextmanager
async def seeing() -> AsyncGenerator[tuple[str, list[str]]]:
    """A server that is none, and the queries that it was asked with."""
    queries: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        queries.append(request.query_string)
        return web.Response(status=401, headers={"WWW-Authenticate": f"not {request.query_string}"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/mcp", queries
    await runner.cleanup()


async def test_a_server_gets_it_in_the_query_and_its_refusal_does_not_tell_it(tmp_path: Path) -> None:
    async with seeing() as (address, queries):
        given = toolset(url=address, query={"secret": "T"})
        with pytest.raises(RuntimeFailure) as raised:
            async with over_http(address).open(given, place(tmp_path, SecretValues({"T": f"key={CANARY}"}))):
                pass

    assert set(queries) == {f"key={CANARY}"}
    assert CANARY not in json.dumps(raised.value.as_error().model_dump())


async def test_a_refused_secret_is_named_as_the_one_to_replace(tmp_path: Path) -> None:
    async with guarded() as guard:
        given = toolset(url=guard.url, headers={"Authorization": {"secret": "TICKETS"}, "X-Team": "plain"})
        with pytest.raises(McpServerRefused) as raised:
            async with over_http(guard.url).open(given, place(tmp_path, SecretValues({"TICKETS": "Bearer wrong"}))):
                pass

    error = raised.value.as_error()
    assert error.message.startswith(
        "MCP server 'far' refuses the credentials that it was given (secrets: TICKETS) (401)"
    )
    assert error.hint.startswith("Replace the one that is out of date, where it is set: holdfast secrets set TICKETS")
    assert "wrong" not in error.message + error.hint


async def test_a_missing_secret_is_named_and_not_retried(tmp_path: Path) -> None:
    given = toolset(url="http://127.0.0.1:1/mcp", headers={"Authorization": {"secret": "T"}})

    with pytest.raises(SecretMissing) as raised:
        async with over_http("http://127.0.0.1:1/mcp").open(given, place(tmp_path, SecretValues({"U": CANARY}))):
            pass

    error = raised.value.as_error()
    assert error.message == "There is no secret 'T', which the agent refers to."
    assert (error.code, error.retryable, error.hint) == ("secret_missing", False, "Set it: holdfast secrets set T")


async def test_one_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    given = toolset(url="http://127.0.0.1:1/mcp", headers={"Authorization": {"secret": "T"}})

    with pytest.raises(SecretUnusable, match=r"'T' cannot be opened\. It was changed\."):
        async with over_http("http://127.0.0.1:1/mcp").open(
            given, place(tmp_path, SecretValues(broken={"T": "It was changed."}))
        ):
            pass


@pytest.mark.parametrize(
    ("organizations", "is_own", "given"),
    [([], True, True), ([], False, False), (["o"], False, True), (["p"], True, False), (["*"], False, True)],
)
def test_a_workers_secrets_are_for_whom_its_operator_says(organizations: list[str], is_own: bool, given: bool) -> None:
    own = WorkerSecrets({"Tickets": CANARY}, organizations).of("o", is_own=is_own)
    values = SecretValues({"TICKETS": "stored", "Other": "x"}, own=own)

    assert values.value(SecretReference(secret="TICKETS")) == (CANARY if given else "stored")
    assert values.value(SecretReference(secret="Other")) == "x"


@pytest.mark.parametrize(
    "value",
    [f"{CANARY}\n", f"{CANARY}\r\nX: y", f"{CANARY}…", f" {CANARY}", f"{CANARY} ", f"{CANARY}\x01"],
)
async def test_what_no_header_can_hold_is_told_without_the_value(tmp_path: Path, value: str) -> None:
    given = toolset(url="http://127.0.0.1:1/mcp", headers={"Authorization": {"secret": "T"}})

    with pytest.raises(SecretUnusable, match="In 'Authorization' the secret 'T' cannot stand") as raised:
        async with over_http("http://127.0.0.1:1/mcp").open(given, place(tmp_path, SecretValues({"T": value}))):
            pass

    assert CANARY not in json.dumps(raised.value.as_error().model_dump())


def test_a_runtime_gets_the_values_of_settings_that_it_calls_secret_and_of_no_other() -> None:
    settings = {"key": {"type": "string", "writeOnly": True}, "plain": {"type": "object"}}
    manifest = SCRIPTED.model_copy(update={"settings": settings})
    given = {"runtime_config": {"key": {"secret": "T"}, "plain": {"secret": "T"}}, "seed": 1}

    put_in = with_secrets(given, manifest, SecretValues({"T": CANARY}))

    assert put_in == {"runtime_config": {"key": CANARY, "plain": {"secret": "T"}}, "seed": 1}
    assert given["runtime_config"] == {"key": {"secret": "T"}, "plain": {"secret": "T"}}
    assert manifest.problems({"key": {"secret": "T"}}) == []
    assert manifest.problems({"key": 7}) == ["'key' is wrong."]
    with pytest.raises(SecretMissing):
        with_secrets(given, manifest, SecretValues())
