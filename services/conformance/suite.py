"""Runs scenarios against runtimes and says what came of each."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

import httpx

from runtimes.errors import RuntimeNotInstalled
from runtimes.factory import RuntimeFactory, installed_version
from runtimes.manifests.known import KNOWN
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.types import Wire
from services.conformance.bench import Bench, bench
from services.conformance.scenario import Mismatch, NotHere, Scenario
from services.conformance.scenarios import (
    answers,
    crowds,
    enforced,
    failures,
    mcp_tools,
    oddities,
    offers,
    outputs,
    replays,
    stops,
    thoughts,
    tool_calls,
    wordings,
)
from services.conformance.traces import origin_of, trace_of
from services.scripted_model.process import scripted_model

Outcome = Literal["passed", "failed", "skipped"]

ALL: Sequence[Scenario] = (
    *answers.SCENARIOS,
    *tool_calls.SCENARIOS,
    *enforced.SCENARIOS,
    *mcp_tools.SCENARIOS,
    *offers.SCENARIOS,
    *failures.SCENARIOS,
    *stops.SCENARIOS,
    *outputs.SCENARIOS,
    *replays.SCENARIOS,
    *thoughts.SCENARIOS,
    *oddities.SCENARIOS,
    *wordings.SCENARIOS,
    *crowds.SCENARIOS,
)
#: Longest time for one scenario, in seconds.
PATIENCE = 90.0
NO_MODEL = "it calls no model: there is nothing that it could do as the others do"


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one scenario; `detail` is what is wrong, why it was skipped, or worth knowing.

    `trace` is where the adapter raised what made it fail.
    """

    runtime: str
    wire: str
    scenario: str
    outcome: Outcome
    detail: str = ""
    seconds: float = 0.0
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Stand:
    """Where runtimes are put on the bench: one scripted model for all of them."""

    runtimes: RuntimeFactory
    provider: httpx.AsyncClient
    directory: Path

    @asynccontextmanager
    async def bench(self, runtime: str, wire: Wire, model: str = "") -> AsyncGenerator[Bench]:
        """A bench for one runtime on one wire, under the model's name, if one is given.

        Raises:
            RuntimeNotInstalled: its framework is not installed here.
        """
        self.runtimes.load(runtime)
        directory = self.directory / f"{runtime}-{wire}-{model}"
        directory.mkdir(exist_ok=True)
        model_id = f"{wire}/{model}" if model else ""
        async with bench(runtime, wire, self.provider, self.runtimes, directory, model_id=model_id) as place:
            yield place


@asynccontextmanager
async def stand(manifests: Mapping[str, RuntimeManifest] = KNOWN) -> AsyncGenerator[Stand]:
    """Start the scripted model; everything is gone afterwards."""
    runtimes = RuntimeFactory(manifests)
    with tempfile.TemporaryDirectory(prefix="holdfast-conformance-", ignore_cleanup_errors=True) as directory:
        try:
            async with scripted_model() as provider:
                yield Stand(runtimes, provider, Path(directory))
        finally:
            await runtimes.close()


async def check(place: Stand, runtime: str, scenarios: Sequence[Scenario] = ALL) -> AsyncGenerator[Result]:
    """Run scenarios against a runtime, on each wire that it speaks.

    Raises:
        RuntimeUnknown: there is no such runtime.
    """
    manifest = place.runtimes.manifest(runtime)
    if not manifest.wires:
        yield Result(runtime, "-", "all", "skipped", NO_MODEL)
    for wire in sorted(manifest.wires):
        if (unusable := _unusable(place.runtimes, manifest, wire)) is not None:
            yield unusable
            continue
        async with place.bench(runtime, wire) as put_up:
            for scenario in scenarios:
                yield await run(put_up, scenario)


def _unusable(runtimes: RuntimeFactory, manifest: RuntimeManifest, wire: Wire) -> Result | None:
    """Tell why nothing can be checked: the framework is not here, or the adapter cannot be imported (its own fault)."""
    with _raised() as raised:
        runtimes.load(manifest.name)
    if not raised:
        return None
    error = raised[0]
    if isinstance(missing := error, RuntimeNotInstalled):
        error = origin_of(missing)
        if error is missing or (isinstance(error, ModuleNotFoundError) and not installed_version(manifest)):
            return Result(manifest.name, wire, "all", "skipped", f"{missing.message} {missing.hint}")
    detail = f"the adapter cannot be loaded: {type(error).__name__}: {error}"
    return Result(manifest.name, wire, "all", "failed", detail, trace=trace_of(error, manifest))


async def run(place: Bench, scenario: Scenario) -> Result:
    """Run one scenario."""
    began = perf_counter()
    reason = why_not(place.manifest, scenario)
    outcome, detail, errors = ("skipped", reason, []) if reason else await _outcome(place, scenario)
    await place.stop()
    crashes = [*place.take_crashes(), *errors]
    trace = trace_of(crashes[0], place.manifest) if outcome == "failed" and crashes else ""
    return Result(place.runtime, place.wire, scenario.name, outcome, detail, round(perf_counter() - began, 3), trace)


def why_not(manifest: RuntimeManifest, scenario: Scenario) -> str:
    """Why a scenario says nothing about a runtime; empty if it does."""
    lacking = sorted(scenario.needs - manifest.capabilities)
    if lacking:
        return f"the runtime does not claim to have: {', '.join(lacking)}"
    return manifest.differs.get(scenario.name, "")


async def _outcome(place: Bench, scenario: Scenario) -> tuple[Outcome, str, list[BaseException]]:
    """Give a scenario's end, the words for it, and the exception that nobody expected."""
    with _raised() as raised:
        async with asyncio.timeout(PATIENCE):
            return "passed", await scenario.check(place) or "", []
    match raised[0]:
        case NotHere() as missing:
            return "skipped", str(missing), []
        case Mismatch() as mismatch:
            return "failed", str(mismatch), []
        case TimeoutError():
            return "failed", f"it did not end within {PATIENCE:.0f} s", []
        case error:
            return "failed", f"{type(error).__name__}: {error}", [error]


@contextmanager
def _raised() -> Generator[list[Exception]]:
    """Keep the exception of the block, if there is one: a runtime is somebody else's code."""
    raised: list[Exception] = []
    try:
        yield raised
    except Exception as error:  # noqa: BLE001
        raised.append(error)
