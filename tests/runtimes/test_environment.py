"""No framework reads the environment."""

import asyncio
import os
import subprocess
import sys

import pytest

from runtimes.errors import RuntimeFailure
from runtimes.factory import RuntimeFactory
from runtimes.types import ModelEndpoint, Wire
from tests.runtimes.model_server import ModelServer
from tests.runtimes.turns import Turns

#: Runs a turn in a process of its own, and prints every address that it looks up or connects to.
WATCHED = """
import asyncio, sys
from runtimes.factory import RuntimeFactory
from runtimes.types import ModelEndpoint, Wire
from tests.runtimes.turns import Turns

seen = set()

def watch(event, arguments):
    if event in {"socket.connect", "socket.sendto"}:
        seen.add(str(arguments[1]))
    elif event == "socket.getaddrinfo":
        seen.add(str(arguments[:2]))

async def main(runtime, url, wire):
    endpoint = ModelEndpoint(url, "sk-test", Wire(wire), "scripted-1", "local")
    factory = RuntimeFactory()
    ran = await Turns(factory, runtime, None, endpoint).run("[[tool unknown {};; say done]]")
    assert ran.finished.response == "done"
    await factory.close()

sys.addaudithook(watch)
asyncio.run(main(*sys.argv[1:]))
print(*sorted(seen), sep="\\n")
"""


@pytest.fixture
def poisoned_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI", "ANTHROPIC"):
        monkeypatch.setenv(f"{name}_API_KEY", "sk-poison-key")
        monkeypatch.setenv(f"{name}_BASE_URL", "http://127.0.0.1:9/poison")
        monkeypatch.setenv(f"{name}_CUSTOM_HEADERS", "Authorization: Bearer poison\nx-poison: yes")
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE"):
        monkeypatch.setenv(name, "poison")
    for name in ("AGNO_TELEMETRY", "AGNO_DEBUG"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")


@pytest.mark.usefixtures("poisoned_environment")
async def test_the_environment_changes_no_answer(framework: str, model: ModelServer, wire: Wire) -> None:
    factory = RuntimeFactory()

    ran = await Turns(factory, framework, model, model.endpoint(wire)).run("[[say untouched]]")
    await factory.close()

    assert ran.finished.response == "untouched"


@pytest.mark.usefixtures("poisoned_environment")
async def test_the_environment_reaches_no_request(framework: str, wire: Wire) -> None:
    heads: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    factory = RuntimeFactory()
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        endpoint = ModelEndpoint(f"http://127.0.0.1:{port}/v1", "sk-the-right-one", wire, "m", "p")
        with pytest.raises(RuntimeFailure):
            await Turns(factory, framework, None, endpoint).run("hello")
    await factory.close()

    assert len(heads) == 1
    assert b"sk-the-right-one" in heads[0]
    assert b"poison" not in heads[0]


async def test_a_turn_connects_to_its_model_and_to_nothing_else(framework: str, model: ModelServer, wire: Wire) -> None:
    url = model.endpoint(wire).base_url
    switches = {"TRACING": "true", "TRACING_V2": "true", "API_KEY": "lsv2_poison"}
    traced = {f"{prefix}_{name}": value for prefix in ("LANGSMITH", "LANGCHAIN") for name, value in switches.items()}
    command = [sys.executable, "-c", WATCHED, framework, url, wire.value]

    watched = await asyncio.to_thread(
        subprocess.run, command, env=os.environ | traced, capture_output=True, text=True, check=False
    )

    assert watched.returncode == 0, watched.stderr
    port = url.split(":")[2].split("/")[0]
    assert set(watched.stdout.splitlines()) <= {f"('127.0.0.1', {port})"}
