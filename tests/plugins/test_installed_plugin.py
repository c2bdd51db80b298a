"""A plugin that somebody else distributes: found by its entry point, checked, and served."""

import json
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from tests.control_plane.api.organizations import code
from tests.plugins.environment import Environment
from tests.stack import Stack


@pytest.fixture(scope="module")
async def served(stack: Stack, installed: Environment) -> AsyncGenerator[Stack]:
    """The stack, with a worker of the plugin's environment."""
    process = stack.add_worker("oneshot")
    command = (str(installed.command), *process.command[1:])
    process = stack.processes["oneshot"] = replace(process, command=command)
    process.start()
    try:
        await stack.until(lambda: _is_live(stack))
        yield stack
    finally:
        process.stop()
        del stack.processes["oneshot"]


def test_it_passes_the_conformance_suite(installed: Environment) -> None:
    checked = installed.holdfast("runtimes", "check", "oneshot", "-o", "json")

    outcomes = [result["outcome"] for result in json.loads(checked.stdout)["results"]]
    assert checked.returncode == 0, checked.stdout
    assert outcomes.count("failed") == 0
    assert outcomes.count("passed") >= 20


async def test_a_worker_serves_it_to_an_api_that_does_not_have_it(served: Stack) -> None:
    settings = {"runtime_config": {"suffix": " [[say served by a plugin]]"}}
    await served.agent("of-oneshot", runtime="oneshot", configuration=settings)

    result = await served.result(await served.start("Hello.", agent="of-oneshot"))

    assert (result["response"], result["runtime"]) == ("served by a plugin", "oneshot")
    assert result["usage"]["model_calls"] == 1


async def test_the_api_describes_it_by_what_the_worker_announces(served: Stack) -> None:
    oneshot = (await served.http.get("/api/v1/runtimes/oneshot")).json()

    assert (oneshot["title"], oneshot["origin"], oneshot["live"]) == ("One shot", "announced by workers", True)
    assert (oneshot["requirement"], oneshot["memory_mb"]) == ("holdfast-oneshot", 5)
    assert oneshot["pools"] == ["oneshot"]


async def test_the_api_checks_its_settings(served: Stack) -> None:
    body = {"name": "wrong-oneshot", "model_id": "scripted/scripted", "runtime": "oneshot"}
    settings = {"runtime_config": {"suffix": 1}}

    refused = await served.http.post("/api/v1/agents", json=body | {"configuration": settings})

    assert code(refused) == (422, "option_unsupported")
    assert """'suffix' is wrong: 1 is not of type "string".""" in refused.json()["detail"]


async def _is_live(stack: Stack) -> bool:
    return (await stack.http.get("/api/v1/runtimes/oneshot")).is_success
