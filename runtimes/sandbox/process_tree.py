"""The processes below a process, as the kernel shows them."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

_PAGE = os.sysconf("SC_PAGE_SIZE")


def kill_children(pid: int) -> None:
    """Kill the direct children; with the first process of a PID namespace dies the whole namespace."""
    for child in children(pid):
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def use_of(pid: int, most: int) -> tuple[int, int]:
    """How many processes are below this one, and the bytes of memory that are theirs alone; looks at `most` of them."""
    found = list(islice(_below(pid), most))
    return len(found), sum(map(_memory, found))


def _below(pid: int) -> Iterator[int]:
    waiting = [pid]
    while waiting:
        for child in children(waiting.pop()):
            waiting.append(child)
            yield child


def children(pid: int) -> Iterator[int]:
    """The direct children: each thread has its own; what ends meanwhile has none."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/task/{thread}/children") as file:
                yield from map(int, file.read().split())


def _memory(pid: int) -> int:
    with suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/statm") as file:
        _, resident, shared, *_ = map(int, file.read().split())
        return (resident - shared) * _PAGE
    return 0
