"""CPU time per process."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

import psutil

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU seconds per process at a time."""

    at: float
    seconds: Mapping[str, float]
    machine: float


@dataclass(slots=True)
class Spent:
    """CPU seconds per process and of the whole machine, wall seconds and executions, summed over rounds."""

    wall: float = 0.0
    machine: float = 0.0
    executions: int = 0
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    def add(self, before: Reading, after: Reading, executions: int) -> Self:
        """Add a round."""
        self.wall += after.at - before.at
        self.machine += after.machine - before.machine
        self.executions += executions
        for name, seconds in after.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds - before.seconds[name]
        return self

    def per_execution(self, name: str) -> float:
        """CPU milliseconds of a process per execution."""
        return self.seconds[name] * 1000 / max(self.executions, 1)

    def share(self, name: str) -> float:
        """A process's part of all CPU time that was spent."""
        return self.seconds[name] / max(sum(self.seconds.values()), 1e-9)

    @property
    def total(self) -> float:
        """CPU milliseconds of all processes per execution."""
        return sum(map(self.per_execution, self.seconds))

    @property
    def cores(self) -> float:
        """Cores that were busy on average."""
        return sum(self.seconds.values()) / self.wall

    @property
    def foreign_cores(self) -> float:
        """Cores that processes of somebody else kept busy meanwhile."""
        return max(self.machine / self.wall - self.cores, 0.0)


class Meter:
    """Reads the CPU time of processes and of their children; the driver's is its own only."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._driver = psutil.Process()

    def read(self) -> Reading:
        """All processes now."""
        seconds = {name: _tree_seconds(process) for name, process in self._processes.items()}
        machine = psutil.cpu_times()
        busy = sum(machine) - machine.idle - getattr(machine, "iowait", 0.0)
        return Reading(time.perf_counter(), seconds | {"driver": _seconds([self._driver])}, busy)


def _tree_seconds(process: psutil.Process) -> float:
    reaped = process.cpu_times()
    return _seconds([process, *process.children(recursive=True)]) + reaped.children_user + reaped.children_system


def _seconds(processes: Iterable[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total
