"""What one organization's short turns take while another one attacks the worker that runs both."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from tests.benchmarks.report import Result
from tests.benchmarks.system import NATIVE, ROOT, System
from tests.control_plane.api.organizations import Organization, new_organization
from tests.services.bounded.hostile import TWICE, deep, doubled
from tests.services.tools import mcp_server

#: Turns of the organization that is measured, one after the other: idle and during the attack, in turns, so often.
TURNS = 8
ROUNDS = 3
#: What an attack may take before the attackers give it up and begin anew, in seconds.
PATIENCE = 15.0
#: Executions with which they attack, at once, and seconds between their tries: what is measured is what one try does to
#: others, not how much a client may ask for.
ATTACKERS = 1
PAUSE = 0.1
#: Seconds after which nothing of the attack before goes on.
SETTLED = 3.0
BAR = 2.0
#: No attack at all: what as many ordinary executions of another organization do to a turn.
NEIGHBOUR = "neighbour"
PROMPT = "[[say done]]"


@dataclass(frozen=True, slots=True)
class Attack:
    """An agent's definition, a prompt, and what is wanted; `refused` is the code with which the API starts no such."""

    name: str
    agent: Mapping[str, Any]
    prompt: str = "hello"
    output_schema: Mapping[str, Any] | None = None
    refused: str = ""


@dataclass(slots=True)
class Tally:
    """What became of an attack: how often it was tried, and how the tries ended."""

    tries: int = 0
    ends: dict[str, int] = field(default_factory=dict[str, int])

    def note(self, end: str) -> None:
        """One more try."""
        self.tries += 1
        self.ends[end] = self.ends.get(end, 0) + 1


@dataclass(frozen=True, slots=True)
class Hostile:
    """Seconds of a turn in the median, idle and meanwhile, by attack."""

    seconds: Mapping[str, tuple[float, float]]
    tallies: Mapping[str, Tally]

    def results(self) -> list[Result]:
        """The figures: each value is the median under attack by that before."""
        found = {name: meanwhile / idle for name, (idle, meanwhile) in self.seconds.items()}
        beside = Result.of(f"turn_beside_{NEIGHBOUR}", found.pop(NEIGHBOUR), "x idle", 1.0)
        return [
            beside,
            *(Result.of(f"turn_under_{name}", ratio, "x idle", 1.0).at_most(BAR) for name, ratio in found.items()),
        ]


async def measure(system: System) -> Hostile:
    """One attack after the other, each on the same worker."""
    attacker = await new_organization(system.stack.database_url, "hostile")
    seconds: dict[str, tuple[float, float]] = {}
    tallies: dict[str, Tally] = {}
    async with AsyncExitStack() as opened:
        outside = Path(opened.enter_context(TemporaryDirectory(prefix="holdfast-outside-")))
        port = await opened.enter_async_context(_server())
        worker = await opened.enter_async_context(system.worker("native", _settings(port)))
        for attack in _attacks(port, _programs(outside)):
            tallies[attack.name] = tally = Tally()
            seconds[attack.name] = await _compared(system, attacker, attack, tally)
        assert not (outside / "trace").exists(), "a tenant's program ran outside of its sandbox"
        assert worker.popen is not None, "the worker is gone"
        assert worker.popen.poll() is None, "the worker is gone"
    return Hostile(seconds, tallies)


async def _compared(system: System, attacker: Organization, attack: Attack, tally: Tally) -> tuple[float, float]:
    """The medians of turns without the attack and under it."""
    idle: list[float] = []
    meanwhile: list[float] = []
    for _ in range(ROUNDS):
        await asyncio.sleep(SETTLED)
        idle += await _turns(system)
        async with _under(system, attacker, attack, tally):
            meanwhile += await _turns(system)
    return median(idle), median(meanwhile)


def _settings(port: int) -> dict[str, str]:
    return {
        "HOLDFAST_PROVIDERS__FLOOD__BASE_URL": f"http://127.0.0.1:{port}/flood",
        "HOLDFAST_PROVIDERS__BOMB__BASE_URL": f"http://127.0.0.1:{port}/bomb",
        "HOLDFAST_WEB_ALLOW": f"127.0.0.1:{port}",
        "HOLDFAST_MCP_COMMANDS": sys.executable,
        "HOLDFAST_SANDBOX_PATHS": f"{ROOT},{sys.base_prefix}",
    }


def _attacks(port: int, outside: Path) -> Sequence[Attack]:
    """The environment escape, schemas, pages, and a provider's answers."""
    escape = {"PATH": f"{outside}:/usr/bin:/bin", "LD_PRELOAD": f"{outside}/evil.so", "BASH_ENV": f"{outside}/profile"}
    server = {"command": [sys.executable, mcp_server.__file__], "env": escape, "only": ["add"]}
    native = {"runtime": "native", "model_id": "scripted/scripted"}
    once = {"configuration": {"model_retries": {"attempts": 1}}}
    answer = json.dumps(deep(24))
    page = f"http://127.0.0.1:{port}/page"
    return (
        Attack(NEIGHBOUR, native, PROMPT),
        Attack(
            "escape",
            {**native, "toolsets": [{"type": "mcp", "servers": {"math": server}}]},
            '[[tool math__add {"first": 1, "second": 2};; say done]]',
        ),
        Attack("schema", native, output_schema=doubled(22), refused="schema_invalid"),
        Attack("values", native, f"[[json {answer};; next;; json {answer}]]", output_schema=TWICE),
        Attack(
            "pages",
            {**native, "toolsets": [{"type": "web"}]},
            f'[[repeat-tool 5 web_fetch {{"url": "{page}"}};; say done]]',
        ),
        Attack("flood", {**native, **once, "model_id": "flood/any"}),
        Attack("bomb", {**native, **once, "model_id": "bomb/any"}),
    )


def _programs(outside: Path) -> Path:
    """Programs that leave a trace if anything outside of a sandbox takes them for its own."""
    for name in ("setpriv", "unshare", "sh", "mount", "prlimit", "bwrap", "env", "true"):
        program = outside / name
        program.write_text(f"#!/bin/bash\necho {name} >> {outside}/trace\n")
        program.chmod(0o755)
    (outside / "profile").write_text(f"echo profile >> {outside}/trace\n")
    return outside


async def _turns(system: System) -> list[float]:
    """Seconds of each turn, from start to result."""
    found: list[float] = []
    for _ in range(TURNS):
        began = perf_counter()
        await system.api.run(NATIVE, PROMPT)
        found.append(perf_counter() - began)
    return found


@asynccontextmanager
async def _under(system: System, attacker: Organization, attack: Attack, tally: Tally) -> AsyncGenerator[None]:
    """Attack for as long as this is open, and at least once.

    Raises:
        AssertionError: an attack did not end as it should.
    """
    before = tally.tries
    attacks = [asyncio.create_task(_again_and_again(system, attacker, attack, tally)) for _ in range(ATTACKERS)]
    try:
        await asyncio.sleep(0.5)
        yield
        while tally.tries == before and not any(each.done() for each in attacks):
            await asyncio.sleep(0.1)
    finally:
        for each in attacks:
            each.cancel()
        ends = await asyncio.gather(*attacks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


async def _again_and_again(system: System, attacker: Organization, attack: Attack, tally: Tally) -> None:
    while True:
        tally.note(await _once(system, attacker, attack))
        await asyncio.sleep(PAUSE)


async def _once(system: System, attacker: Organization, attack: Attack) -> str:
    """One try; gives how it ended."""
    http, headers = system.stack.http, attacker.auth()
    body = {"name": attack.name, **attack.agent}
    await http.post("/api/v1/agents", json=body, headers=headers)
    started = await http.post("/api/v1/executions", json=_start(attack), headers=headers)
    if attack.refused:
        assert started.json()["code"] == attack.refused, started.text
        return attack.refused
    assert started.status_code == 201, started.text
    path = f"/api/v1/executions/{started.json()['id']}"
    result = await http.get(f"{path}/result", params={"wait": PATIENCE}, headers=headers)
    if result.status_code == 200:
        return "done" if result.json()["success"] else result.json()["error"]["code"]
    with suppress(asyncio.CancelledError):
        await http.post(f"{path}/cancel", headers=headers)
    return "given up"


def _start(attack: Attack) -> dict[str, Any]:
    return {"agent_id": attack.name, "prompt": attack.prompt, "output_schema": attack.output_schema}


@asynccontextmanager
async def _server() -> AsyncGenerator[int]:
    """The attackers' own server, in a process of its own: what it does is no part of what is measured."""
    command = ["-m", "tests.benchmarks.hostile_server"]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=PIPE, cwd=ROOT)
    try:
        assert process.stdout is not None
        yield int(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()
