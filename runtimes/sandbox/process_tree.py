"""The processes below a process, as the kernel shows them."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice


def kill_children(pid: int) -> None:
    """Kill the direct children; with the first process of a PID namespace dies the whole namespace."""
    for child in children(pid):
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def use_of(pid: int, most: int) -> tuple[int, int]:
    """Count the processes below this one, and the bytes of memory that they use; looks at `most` of them.

    Memory that several of them share counts for each, see `shared_use_of`; files of the disk do not count.
    """
    found = list(islice(below(pid), most))
    return len(found), sum(_sum(f"/proc/{each}/status", (b"RssAnon:", b"RssShmem:")) for each in found)


def shared_use_of(pid: int, most: int) -> int:
    """The bytes that the processes below this one use together, each counted once; dearer to find out."""
    fields = (b"Pss_Anon:", b"Pss_Shmem:")
    return sum(_sum(f"/proc/{each}/smaps_rollup", fields) for each in islice(below(pid), most))


def below(pid: int) -> Iterator[int]:
    """All processes below this one."""
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


def _sum(path: str, fields: tuple[bytes, ...]) -> int:
    """The sum in bytes of what a file of the kernel says in kilobytes; nothing of a process that has ended."""
    with suppress(FileNotFoundError, ProcessLookupError), open(path, "rb") as file:
        return sum(1024 * int(line.split()[1]) for line in file if line.startswith(fields))
    return 0
