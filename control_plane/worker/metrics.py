"""What a worker that runs turns has, for Prometheus."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from control_plane.metrics import gauge
from control_plane.worker.slots import Capacity, available_memory, memory_limit
from services.cancellation import CancellationManager


@dataclass(frozen=True, slots=True, eq=False)
class WorkerLoad(Collector):
    """The slots and the memory of a worker that runs turns, as they are when somebody looks."""

    pool: str
    capacity: Capacity
    turns: CancellationManager

    def collect(self) -> Iterable[Metric]:
        """The gauges; a worker's slots are the turns that it runs and those that it surely has room for."""
        running = self.turns.runtimes()
        used, most = len(running), memory_limit()
        slots = used + self.capacity.room(self.capacity.taken(running))
        yield self._of_pool("slots", "Turns that the worker runs and has room for.", slots)
        yield self._of_pool("slots_used", "Turns that the worker runs.", used)
        yield self._of_pool("slots_used_ratio", "Share of the slots in use, 0 to 1.", used / slots if slots else 1.0)
        yield self._of_pool("memory_limit_bytes", "Memory of the machine or container.", most)
        yield self._of_pool("memory_used_bytes", "Of it, what is in use.", max(0, most - available_memory()))
        by_runtime = {(self.pool, name): float(count) for name, count in Counter(running).items()}
        yield gauge("turns_running", "Turns that the worker runs.", ("pool", "runtime"), by_runtime)

    def _of_pool(self, name: str, text: str, value: float) -> Metric:
        return gauge(name, text, ("pool",), {(self.pool,): value})
