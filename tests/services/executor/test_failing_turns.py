"""What turns that fail must not do: tell a key, or delay their neighbours."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from itertools import pairwise

import psycopg
import pytest
from aiohttp import web
from psycopg.types.json import Jsonb

from tests.conftest import NewStack
from tests.stack import Stack

#: Like no provider's own, so that no pattern recognises it.
PROVIDER_KEY = "provider.of.the.talkative.0123456789"
FAILURES = ("error 401", "error 500", "drop", "emit 3;; drop", "garbage", "html", "stream-error", "context-too-long")
#: Seconds without a token after which a reader would notice.
STALL = 1.5


@pytest.fixture(scope="module")
async def talkative() -> AsyncGenerator[str]:
    """A provider that repeats the key that it refuses; its address."""

    async def refuse(request: web.Request) -> web.Response:
        message = f"Incorrect API key provided: {request.headers['Authorization']}"
        return web.json_response({"error": {"message": message, "code": "invalid_api_key"}}, status=401)

    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", refuse)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


@pytest.fixture(scope="module")
async def chatty(new_stack: NewStack, talkative: str) -> AsyncGenerator[Stack]:
    """A stack that logs all there is, with a key for that provider."""
    settings = {
        "HOLDFAST_LOG_LEVEL": "debug",
        "HOLDFAST_PROVIDERS__TALKATIVE__BASE_URL": talkative,
        "HOLDFAST_PROVIDERS__TALKATIVE__API_KEY": PROVIDER_KEY,
    }
    async with new_stack(pools=("default", "scripted"), settings=settings) as stack:
        await stack.agent("refused", model_id="talkative/any")
        yield stack


async def test_settings_that_the_runtime_of_this_worker_does_not_take_end_the_turn(chatty: Stack) -> None:
    agent = await chatty.agent("outdated", runtime="default", configuration={"runtime_config": {"max_turns": 3}})
    execution = await chatty.start("[[say hi]]", "outdated", interactive=True)
    await chatty.until_status(execution, "waiting")

    await _replace_settings(chatty, agent["id"], {"graph": "flows:graph"})
    await chatty.http.post(f"/api/v1/executions/{execution}/messages", json={"content": "[[say again]]"})
    await chatty.until_status(execution, "failed")

    error = (await chatty.get(execution))["error"]
    assert error["code"] == "runtime_unfit"
    assert "'graph' is no setting of runtime 'default'." in error["message"]
    assert (await chatty.types(execution)).count("attempt.failed") == 1


async def _replace_settings(stack: Stack, agent_id: str, settings: dict[str, str]) -> None:
    """Let a pinned version have settings of a runtime that has changed since."""
    async with await psycopg.AsyncConnection.connect(stack.database_url.replace("+psycopg", "")) as connection:
        await connection.execute(
            """
            UPDATE agent_versions SET spec = jsonb_set(spec, '{configuration,runtime_config}', %s) WHERE agent_id = %s
            """,
            (Jsonb(settings), agent_id),
        )


async def test_no_key_is_told_to_any_log_or_history(chatty: Stack) -> None:
    started = [await chatty.start("hello", "refused"), await chatty.start("[[crash]]", "plain")]
    started += [await chatty.start(f"[[{failure}]]") for failure in FAILURES]
    for execution in started:
        await chatty.until_event(execution, "attempt.failed")
    await _cancel(chatty, started)

    told = {path.name: path.read_text(errors="replace") for path in chatty.directory.glob("*.log")}
    told |= {f"history of {execution}": await _history(chatty, execution) for execution in started}
    told |= {f"events of {execution}": str(await chatty.log(execution)) for execution in started}

    assert "Incorrect API key provided" in told[f"events of {started[0]}"]
    for key in (PROVIDER_KEY, chatty.api_key, chatty.worker_key):
        assert [name for name, text in told.items() if key in text] == []


async def test_failing_turns_do_not_delay_a_neighbours_stream(chatty: Stack) -> None:
    neighbour = await chatty.start("[[emit 120 @30]]")
    reading = asyncio.create_task(_longest_pause(chatty, neighbour))
    await chatty.until_event(neighbour, "message.delta")

    started = [await chatty.start(f"[[{failure}]]") for failure in FAILURES]
    pause = await reading
    await _cancel(chatty, started)

    assert pause < STALL


async def _longest_pause(stack: Stack, execution: str) -> float:
    times: list[float] = []
    async with stack.stream(execution) as events:
        async for event in events:
            if event["type"] in {"message.delta", "message.completed"}:
                times.append(asyncio.get_running_loop().time())
    return max(later - earlier for earlier, later in pairwise(times))


async def _history(stack: Stack, execution: str) -> str:
    handle = stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"])
    return (await handle.fetch_history()).to_json()


async def _cancel(stack: Stack, executions: Iterable[str]) -> None:
    """What is tried again and again ends now; what has failed for good refuses."""
    for execution in executions:
        await stack.http.post(f"/api/v1/executions/{execution}/cancel")
        await stack.result(execution)
