"""A worker of unlike runtimes takes as many turns as what they really are leaves room for."""

import asyncio
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

from temporalio.common import WorkerDeploymentVersion
from temporalio.worker import SlotPermit, SlotReleaseContext

from control_plane.worker.slots import Capacity
from control_plane.worker.tuner import WeighedSlots
from services.cancellation import CancellationManager, RunningTurn

CAPACITY = Capacity({"claude_code": 4, "native": 100})


@dataclass
class Reservation:
    """What the SDK says when it wants a slot."""

    slot_type: Literal["workflow", "activity", "local-activity"] = "activity"
    task_queue: str = "holdfast.mixed"
    worker_identity: str = "tests"
    worker_build_id: str = ""
    worker_deployment_version: WorkerDeploymentVersion | None = None
    is_sticky: bool = False


class Polling:
    """Takes slots as pollers do, and runs turns in them."""

    def __init__(self) -> None:
        self.turns = CancellationManager()
        self.slots = WeighedSlots(CAPACITY, self.turns)
        self.permits: list[SlotPermit] = []

    async def reserve(self, most: int = 200) -> int:
        """Reserve until there is no room; gives how many there were in this go."""
        before = len(self.permits)
        while len(self.permits) < most:
            try:
                permit = await asyncio.wait_for(self.slots.reserve_slot(Reservation()), 0.05)
            except TimeoutError:
                break
            self.permits.append(permit)
        return len(self.permits) - before

    async def release(self) -> None:
        """Give one slot back, as the SDK does from a thread of its own."""
        permit = self.permits.pop()
        await asyncio.to_thread(self.slots.release_slot, SlotReleaseContext(None, permit))

    @contextmanager
    def running(self, runtime: str, count: int) -> Generator[None]:
        with ExitStack() as stack:
            for _ in range(count):
                stack.enter_context(self.turns.running(RunningTurn(uuid4().hex, 1, runtime)))
            yield


async def test_polls_count_as_turns_of_the_dearest_runtime_until_one_knows() -> None:
    polling = Polling()

    assert await polling.reserve() == 4
    with polling.running("native", 4):
        assert await polling.reserve() == 3
    with polling.running("claude_code", 4):
        assert await polling.reserve() == 0


async def test_a_slot_that_comes_back_is_taken_again() -> None:
    polling = Polling()
    await polling.reserve()
    waiting = asyncio.create_task(polling.slots.reserve_slot(Reservation()))

    await polling.release()

    await asyncio.wait_for(waiting, 10)


async def test_there_is_always_one() -> None:
    turns = CancellationManager()
    slots = WeighedSlots(Capacity({"claude_code": 1, "native": 3}), turns)

    assert await slots.reserve_slot(Reservation())


async def test_a_worker_that_may_take_more_does_so_at_once() -> None:
    capacity = Capacity({"native": 2}, is_fixed=False)
    slots = WeighedSlots(capacity, CancellationManager())
    for _ in range(2):
        await slots.reserve_slot(Reservation())
    waiting = asyncio.create_task(slots.reserve_slot(Reservation()))

    capacity.change({"native": 3})

    await asyncio.wait_for(waiting, 10)
