"""A pool and the workflow workers go from build A to build B, whose workflow is another one, while executions run."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

import pytest
from temporalio.api.enums.v1 import EventType

from tests.builds import build_of, make_current, say
from tests.containers.fleet import GRACE, Fleet, new_fleet
from tests.containers.images import built, derived
from tests.containers.report import Report
from tests.faults.checker import check, check_stack
from tests.faults.evidence import Evidence
from tests.faults.field import Run

#: Executions that run at once, on each pool.
CROWD = 3
#: Those that begin before anything is rolled, and after everything was.
BEFORE, AFTER = 8, 8
STOP_SECONDS = 2 * GRACE + 40


@dataclass
class Load:
    """Executions with two effects each, one after the other in each lane."""

    fleet: Fleet
    runs: list[Run] = field(default_factory=list[Run])
    enough: bool = False

    async def lane(self, pool: str) -> None:
        """Start the next one when the last one has ended."""
        ledger = self.fleet.ledger
        script = f"emit 10 @20;; {ledger.call('TOKEN-a', 0.5)};; {ledger.call('TOKEN-b', 0.5)};; emit 20 @20"
        while not self.enough:
            run = await self.fleet.fire(script, agent=pool)
            self.runs.append(run)
            await self.fleet.result(run.execution, timeout=240)

    async def checked(self) -> list[Evidence]:
        """What the witnesses say of each; every promise was kept."""
        return [await check(self.fleet, run) for run in self.runs]

    async def builds(self) -> list[str]:
        """The build that each ended on."""
        return [await build_of(self.fleet, run.execution) for run in self.runs]

    async def timers(self) -> list[bool]:
        """Whether each began with a timer."""
        return [await begins_with_a_timer(self.fleet, run) for run in self.runs]

    async def until(self, number: int) -> None:
        """Wait until so many were started."""

        async def are_there() -> bool:
            return len(self.runs) >= number

        await self.fleet.until(are_there)


@pytest.fixture
async def fleet(engine: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Fleet]:
    async with new_fleet(tmp_path_factory.mktemp("rolling")) as running:
        yield running
        await check_stack(running)


async def test_a_roll_under_load_loses_nothing_and_repeats_nothing(fleet: Fleet, report: Report) -> None:
    load = Load(fleet)
    talking = await fleet.start("[[say one]]", "native", interactive=True)
    fleet.started.append(talking)
    await fleet.until_status(talking, "waiting")
    async with asyncio.TaskGroup() as lanes:
        for pool in [*fleet.pools] * CROWD:
            lanes.create_task(load.lane(pool))
        await load.until(BEFORE)
        began = time.monotonic()
        await start_workflows(fleet, "b")
        codes = await roll_pool(fleet, "native")
        answer = await say(fleet, talking, "[[say two]]")
        codes.append(await stop_workflows(fleet, "a"))
        took = time.monotonic() - began
        await load.until(len(load.runs) + AFTER)
        load.enough = True
    found, builds = await load.checked(), await load.builds()
    report.figures |= figures(found, builds, took)

    assert codes == [0, 0, 0]
    assert_nothing_is_repeated(load, found)
    assert set(builds) == {"a", "b"}
    assert await load.timers() == [build == "b" for build in builds]
    assert (answer["type"], await build_of(fleet, talking)) == ("turn.completed", "b")


def assert_nothing_is_repeated(load: Load, found: Sequence[Evidence]) -> None:
    """Both effects of each, once; no model call more than those that a stop cut short."""
    assert [sorted(each.effects) for each in found] == [[f"{run.token}-a", f"{run.token}-b"] for run in load.runs]
    assert sum(len(each.requests) for each in found) <= sum(each.calls_needed + each.cut_short for each in found)


async def roll_pool(fleet: Fleet, pool: str) -> list[int]:
    """The way of docs/pools.md; gives the exit codes of the former workers."""
    image = derived("worker-b", "changed.Dockerfile", f"--build-arg=FORMER={built(f'worker-{pool}')}")
    for number in (1, 2):
        fleet.add_pool_worker(pool, f"{pool}-b{number}", "b", image)
    await fleet.start_all()
    await make_current(fleet, f"holdfast-{pool}", "b")
    drained = await fleet.http.post(f"/api/v1/worker-pools/{pool}/drain", params={"build_id": "a"})
    assert drained.json()["draining"] == 2, drained.text
    former = [fleet.containers[f"{pool}-{number}"] for number in (1, 2)]
    return await asyncio.gather(*(asyncio.to_thread(each.exit_code) for each in former))


async def start_workflows(fleet: Fleet, build: str) -> None:
    """New executions begin on the build from here on."""
    image = derived("control-plane-b", "changed.Dockerfile", f"--build-arg=FORMER={built('control-plane')}")
    fleet.add_workflow_worker("workflows-b", build, image)
    await fleet.start_all()
    await make_current(fleet, "holdfast", build)


async def stop_workflows(fleet: Fleet, build: str) -> int:
    """When nothing that runs is pinned to the build any more; gives the exit code of its worker."""
    pinned = f"TemporalWorkerDeploymentVersion = 'holdfast:{build}' AND ExecutionStatus = 'Running'"

    async def are_gone() -> bool:
        return (await fleet.temporal.count_workflows(pinned)).count == 0

    await fleet.until(are_gone)
    return await asyncio.to_thread(fleet.containers["workflows-1"].stop, STOP_SECONDS)


def figures(found: Sequence[Evidence], builds: Sequence[str], took: float) -> dict[str, str]:
    """For the report."""
    attempts = Counter(attempt["status"] for each in found for attempt in each.attempts)
    effects = Counter(effect for each in found for effect in each.effects)
    needed, made = (sum(numbers) for numbers in zip(*map(_calls, found), strict=True))
    return {
        "rolling took": f"{took:.0f} s",
        "executions, on build a and b": f"{len(found)}: {builds.count('a')} and {builds.count('b')}",
        "model calls needed, made": f"{needed}, {made}",
        "effects needed, done": f"{len(effects)}, {effects.total()}",
        "attempts": ", ".join(f"{number} {status}" for status, number in sorted(attempts.items())),
        "executions lost": str(sum(each.execution["status"] != "completed" for each in found)),
    }


def _calls(evidence: Evidence) -> tuple[int, int]:
    return evidence.calls_needed, len(evidence.requests)


async def begins_with_a_timer(fleet: Fleet, run: Run) -> bool:
    """What the workflow of build B does, and that of build A does not."""
    handle = fleet.temporal.get_workflow_handle((await fleet.get(run.execution))["workflow_id"])
    history = await handle.fetch_history()
    return EventType.EVENT_TYPE_TIMER_STARTED in [event.event_type for event in history.events[:6]]
