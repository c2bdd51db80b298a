"""Containers are killed, stopped, cut off and replaced under load, and every promise is kept."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest

from tests.containers.fleet import GRACE, Fleet, new_fleet
from tests.faults.checker import check, check_stack
from tests.faults.evidence import Evidence
from tests.faults.field import Run

#: Twice as long as a worker takes to hand back what it runs.
STOP_SECONDS = 2 * GRACE + 40


@pytest.fixture(scope="module")
async def fleet(engine: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Fleet]:
    async with new_fleet(tmp_path_factory.mktemp("fleet")) as running:
        yield running
        await check_stack(running)


def two_effects(fleet: Fleet, seconds: float = 0) -> str:
    """Text, two tools with an effect each, and more text."""
    return f"emit 16 @20;; {fleet.ledger.call('TOKEN-a')};; {fleet.ledger.call('TOKEN-b', seconds)};; emit 60 @20"


async def ended(fleet: Fleet, run: Run, *letters: str, perhaps: str = "") -> Evidence:
    """It completes, every promise is kept, and these effects were done."""
    await fleet.result(run.execution, timeout=240)
    evidence = await check(fleet, run)
    assert {effect.removeprefix(f"{run.token}-") for effect in evidence.effects} - {perhaps} == set(letters)
    return evidence


async def has_begun(fleet: Fleet, run: Run, number: int) -> bool:
    """Whether so many effects were begun."""
    return len(fleet.ledger.begun(run.token)) >= number


async def is_heard(fleet: Fleet, host: str, since: datetime) -> bool:
    """Whether a worker of the pool `native` has said anything to the control plane since."""
    workers = (await fleet.http.get("/api/v1/worker-pools/native")).json()["live_workers"]
    return any(worker["host"] == host and datetime.fromisoformat(worker["seen_at"]) > since for worker in workers)


def statuses(evidence: Evidence) -> list[str]:
    """How each attempt ended."""
    return [attempt["status"] for attempt in evidence.attempts]


async def test_nothing_happens_to_it(fleet: Fleet) -> None:
    runs = [await fleet.fire(two_effects(fleet), agent=pool) for pool in fleet.pools]

    found = [await ended(fleet, run, "a", "b") for run in runs]

    assert [statuses(evidence) for evidence in found] == [["completed"]] * 2
    assert [len(evidence.requests) for evidence in found] == [3, 3]


@pytest.mark.parametrize("pool", ["native", "default"])
async def test_a_killed_worker_costs_an_attempt(fleet: Fleet, pool: str) -> None:
    run = await fleet.fire(two_effects(fleet, seconds=3), agent=pool)
    await fleet.until(lambda: has_begun(fleet, run, 2))

    victim = await fleet.container_of(run.execution)
    await asyncio.to_thread(victim.kill)
    evidence = await ended(fleet, run, "a", perhaps="b")
    await asyncio.to_thread(victim.docker.start)

    assert statuses(evidence) == ["lost", "completed"]


async def test_a_stopped_worker_hands_its_turn_over_and_ends_well(fleet: Fleet) -> None:
    run = await fleet.fire(f"{fleet.ledger.call('TOKEN-a')};; emit 600 @20", agent="native")
    await fleet.until_event(run.execution, "message.delta")

    victim = await fleet.container_of(run.execution)
    code = await asyncio.to_thread(victim.stop, STOP_SECONDS)
    evidence = await ended(fleet, run, "a")
    await asyncio.to_thread(victim.docker.start)

    assert code == 0
    assert statuses(evidence) == ["preempted", "completed"]
    assert {attempt["try_number"] for attempt in evidence.attempts} == {1}


async def test_a_worker_that_is_cut_off_is_shut_out_when_it_comes_back(fleet: Fleet) -> None:
    run = await fleet.fire(two_effects(fleet, seconds=3), agent="native")
    await fleet.until(lambda: has_begun(fleet, run, 2))

    victim = await fleet.container_of(run.execution)
    await asyncio.to_thread(victim.disconnect)
    await fleet.result(run.execution, timeout=240)
    back_at = datetime.now(UTC)
    await asyncio.to_thread(victim.connect)
    await fleet.until(lambda: is_heard(fleet, victim.name, back_at))
    evidence = await ended(fleet, run, "a", perhaps="b")

    assert statuses(evidence) == ["lost", "completed"]
    assert victim.runs()


async def test_a_killed_control_plane_is_not_noticed(fleet: Fleet) -> None:
    run = await fleet.fire(two_effects(fleet, seconds=3), agent="default")
    await fleet.until(lambda: has_begun(fleet, run, 2))

    await asyncio.to_thread(fleet.containers["api-2"].kill)
    evidence = await ended(fleet, run, "a", "b")
    await asyncio.to_thread(fleet.containers["api-2"].docker.start)
    await fleet.until(fleet.is_ready)

    assert statuses(evidence) == ["completed"]


async def test_a_pool_goes_and_comes_while_others_work(fleet: Fleet) -> None:
    leaving = [fleet.containers[name] for name in ("default-1", "default-2")]
    codes = await asyncio.gather(*(asyncio.to_thread(each.stop, STOP_SECONDS) for each in leaving))
    for each in leaving:
        await each.remove()

    waits = await fleet.fire(two_effects(fleet), agent="default")
    works = await fleet.fire(two_effects(fleet), agent="native")
    await fleet.until_status(waits.execution, "waiting_for_pool")
    await ended(fleet, works, "a", "b")
    for each in leaving:
        await asyncio.to_thread(each.start)
    evidence = await ended(fleet, waits, "a", "b")

    assert codes == [0, 0]
    assert "execution.waiting_for_pool" in [event["type"] for event in evidence.events]
