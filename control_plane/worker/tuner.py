"""Hands out a worker's slots to Temporal's pollers."""

import asyncio
from contextlib import suppress

from temporalio.worker import (
    CustomSlotSupplier,
    FixedSizeSlotSupplier,
    SlotMarkUsedContext,
    SlotPermit,
    SlotReleaseContext,
    SlotReserveContext,
    WorkerTuner,
)

from control_plane.worker.slots import Capacity
from services.cancellation import CancellationManager


def tuner_of(capacity: Capacity, turns: CancellationManager) -> WorkerTuner:
    """The tuner of a worker that runs turns: it counts them where they are alike for good, else it weighs them."""
    slots = FixedSizeSlotSupplier(capacity.most)
    return WorkerTuner.create_composite(
        workflow_supplier=slots,
        activity_supplier=slots if capacity.is_fixed and capacity.is_uniform else WeighedSlots(capacity, turns),
        local_activity_supplier=slots,
        nexus_supplier=slots,
    )


class WeighedSlots(CustomSlotSupplier):
    """Lets a poll begin while there is room for a turn of the dearest runtime: nobody knows what it brings.

    As soon as a turn's runtime is known, only what that one takes counts. Temporal's SDK frees permits on threads of
    its own; everything here happens on the event loop.
    """

    def __init__(self, capacity: Capacity, turns: CancellationManager) -> None:
        self._capacity = capacity
        self._turns = turns
        self._permits = 0
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        turns.watch(self._changed.set)
        capacity.watch(self._changed.set)

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        """Wait for room."""
        while self._permits and not self._capacity.room(self._taken()):
            self._changed.clear()
            await self._changed.wait()
        self._permits += 1
        return SlotPermit()

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        """Nothing comes eagerly to a worker without workflows."""
        return None

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        """The turn itself says what it is."""

    def release_slot(self, ctx: SlotReleaseContext) -> None:
        """Give a permit back."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        self._permits -= 1
        self._changed.set()

    def _taken(self) -> float:
        running = self._turns.runtimes()
        unknown = max(0, self._permits - len(running))
        return self._capacity.taken(running) + unknown * self._capacity.dearest
