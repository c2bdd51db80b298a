"""Runs turns in another environment: reads one description a line, writes what came of it. Not a test."""

import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from runtimes.errors import RuntimeFailure
from runtimes.factory import RuntimeFactory
from runtimes.types import ModelEndpoint, ToolResult, Wire
from tests.runtimes.turns import Turns, tool

SEEN: set[str] = set()


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note every address that is looked up or connected to."""
    if event in {"socket.connect", "socket.sendto"}:
        SEEN.add(str(arguments[1]))
    elif event == "socket.getaddrinfo":
        SEEN.add(str(arguments[:2]))


async def look_up(_: str, arguments: Mapping[str, Any] | str) -> ToolResult:
    """The one tool: it says what it was asked."""
    return ToolResult(f"looked up {json.dumps(arguments)}")


async def run(turns: Turns, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Run one turn; gives its events, and its failure."""
    tools = [tool(look_up, name) for name in wanted.get("tools", ["lookup"])]
    changes: dict[str, Any] = {"system_prompt": wanted.get("system_prompt", ""), "tools": tools}
    changes["configuration"] = {"runtime_config": wanted.get("runtime_config", {})}
    told: dict[str, Any] = {"events": [], "failure": None, "hint": ""}
    context = turns.context(wanted["prompt"], **changes)
    try:
        async with aclosing(turns.factory.create_runtime(turns.runtime).stream_execute(context)) as events:
            async for event in events:
                told["events"].append({"kind": type(event).__name__, **asdict(event)})
    except RuntimeFailure as failure:
        told |= {"failure": failure.message, "hint": failure.hint}
    return told


async def main(runtime: str, url: str) -> None:
    """Serve until the input ends; `taken` are the signals that the framework handles."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    factory = RuntimeFactory()
    endpoint = ModelEndpoint(url, "sk-test", Wire.OPENAI, "scripted-1", "local")
    turns = Turns(factory, runtime, None, endpoint)
    while line := await asyncio.to_thread(sys.stdin.readline):
        told = await run(turns, json.loads(line))
        taken = [number.name for number, handler in before.items() if signal.getsignal(number) != handler]
        print(json.dumps({**told, "seen": sorted(SEEN), "taken": taken}), flush=True)
    await factory.close()


if __name__ == "__main__":
    sys.addaudithook(watch)
    asyncio.run(main(*sys.argv[1:]))
