"""Every body under a runtime: what came of it, beside what has to come of it."""

import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import yaml

from runtimes.factory import RuntimeFactory
from runtimes.types import Wire
from services.conformance.bench import Bench, Case, Taken, bench
from services.conformance.kills import killed_after_every_write
from services.conformance.scenario import Mismatch
from tests.provider_bodies import tools
from tests.provider_bodies.body import Body, every_body
from tests.provider_bodies.replay import Asked, Replay, replaying

RUNTIMES = ("default", "native", "langgraph", "openai_agents", "crewai", "claude_code")
_FUNCTIONS = [f"{tools.__name__}:{name}" for name in ("add", "mul", "now", "nul", "slow")]


@dataclass(frozen=True, slots=True)
class Expected:
    """The outcome that a body has to have, whatever the runtime."""

    calls: int
    answer: str | None = None
    code: str | None = None
    refused: int = 0
    retry_after: float | None = None
    kill: bool = False
    then: str | None = None
    model: str = ""
    configuration: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Row:
    """The outcome of a body under a runtime; `problem` is empty where that is as it has to be."""

    body: str
    runtime: str
    answer: str | None
    code: str | None
    calls: int
    refused: int
    kills: int = 0
    then: str = ""
    problem: str = ""

    def cell(self) -> str:
        """The row in a few words."""
        said = self.code or f"“{self.answer}”"
        refused = f" + {self.refused} refused" if self.refused else ""
        kills = f", {self.kills} kills" if self.kills else ""
        then = f", then “{self.then}”, 1" if self.then else ""
        return f"{said}, {self.calls}{refused}{kills}{then}" + (f" **{self.problem}**" if self.problem else "")


def expectations() -> dict[str, Expected]:
    """The file of expectations, by the bodies' names."""
    given = yaml.safe_load(Path(__file__).with_name("expected.yaml").read_text())
    return {str(name): Expected(**entry) for name, entry in given.items()}


def bodies_for(runtime: str, runtimes: RuntimeFactory) -> list[Body]:
    """The bodies on wires that a runtime speaks."""
    wires = runtimes.manifest(runtime).wires
    return [body for body in every_body() if body.wire in wires]


@dataclass
class Place:
    """Benches of runtimes, with the bodies behind them."""

    replay: Replay
    runtimes: RuntimeFactory
    _provider: httpx.AsyncClient
    _directory: Path
    _stack: AsyncExitStack
    _benches: dict[tuple[str, Wire], Bench] = field(default_factory=dict[tuple[str, Wire], Bench])

    async def row(self, runtime: str, body: Body, expected: Expected) -> Row:
        """Run a body."""
        bench = await self._bench(runtime, body.wire)
        case = _case(body, expected)
        taken = await bench.run(case)
        row = _row(body, runtime, expected, taken, self.replay.asked(taken.marker))
        if row.problem:
            return row
        if expected.then is not None:
            return await _tried_again(bench, taken, expected.then, row)
        return await _killed(bench, case, row) if expected.kill else row

    async def _bench(self, runtime: str, wire: Wire) -> Bench:
        if (runtime, wire) not in self._benches:
            directory = self._directory / f"{runtime}-{wire}"
            directory.mkdir()
            self.runtimes.load(runtime)
            put_up = bench(runtime, wire, self._provider, self.runtimes, directory, modules=[tools.__name__])
            self._benches[runtime, wire] = await self._stack.enter_async_context(put_up)
        return self._benches[runtime, wire]


@asynccontextmanager
async def place() -> AsyncGenerator[Place]:
    """Serve the bodies, for any runtime that is installed here."""
    runtimes = RuntimeFactory()
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        stack.push_async_callback(runtimes.close)
        replay = await stack.enter_async_context(replaying())
        provider = await stack.enter_async_context(httpx.AsyncClient(base_url=replay.url, timeout=30))
        yield Place(replay, runtimes, provider, Path(directory), stack)


def _case(body: Body, expected: Expected) -> Case:
    model = f"{body.wire}/{expected.model or body.name}"
    toolsets = [{"type": "shell"}] if body.name == "k-nulshell" else []
    return Case("Go on.", functions=_FUNCTIONS, toolsets=toolsets, configuration=expected.configuration, model_id=model)


def _row(body: Body, runtime: str, expected: Expected, taken: Taken, asked: list[Asked]) -> Row:
    refused = sum(each.outcome == "refused" for each in asked)
    answer = taken.response if taken.failure is None else None
    code = taken.failure.code if taken.failure else None
    retry_after = taken.failure.retry_after if taken.failure else None
    found = (answer, code, len(asked) - refused, refused, retry_after)
    wanted = (expected.answer, expected.code, expected.calls, expected.refused, expected.retry_after)
    names = ("answer", "code", "calls", "refused", "retry after")
    compared = zip(names, found, wanted, strict=True)
    problem = "; ".join(f"{name}: {one!r}, expected {other!r}" for name, one, other in compared if one != other)
    return Row(body.name, runtime, answer, code, len(asked) - refused, refused, problem=problem)


async def _killed(bench: Bench, case: Case, row: Row) -> Row:
    try:
        first = await killed_after_every_write(bench, case, row.answer or "")
    except Mismatch as mismatch:
        return replace(row, problem=str(mismatch))
    return replace(row, kills=len(first.record.states))


async def _tried_again(bench: Bench, failed: Taken, answer: str, row: Row) -> Row:
    """Take the turn's next attempt, as the workflow has it after a failure that may pass."""
    again = await bench.again(failed, failed.record.journal)
    found = (failed.failure is not None and failed.failure.retryable, again.response, len(again.calls))
    problem = "" if found == (True, answer, 1) else f"may pass, next answer, calls: {found}, expected {answer!r} and 1"
    return replace(row, then=again.response, problem=problem)
