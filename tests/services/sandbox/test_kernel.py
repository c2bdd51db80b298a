"""The kernel, as a command in the sandbox can reach it: as far as ordinary programs need it, and no further."""

import platform
from pathlib import Path

import pytest

from runtimes.sandbox.command_line import Limits, Room
from runtimes.sandbox.seccomp import filter_of
from services.sandbox.sandbox import Sandbox

#: The first argument is the call's number under x86-64.
CALLS = {
    "keyctl": "250, 0",
    "add_key": "248, 0, 0, 0, 0, 0",
    "bpf": "321, 0, 0, 0",
    "perf_event_open": "298, 0, 0, 0, 0, 0",
    "userfaultfd": "323, 0",
    "ptrace": "101, 0, 0, 0, 0",
    "process_vm_readv": "310, 1, 0, 0, 0, 0, 0",
    "mount": "165, 0, 0, 0, 0, 0",
    "fsopen": "430, 0, 0",
    "kexec_load": "246, 0, 0, 0, 0",
    "init_module": "175, 0, 0, 0",
    "unshare of users": "272, 0x10000000",
    "clone with users": "56, 0x10000011, 0, 0, 0, 0",
    "io_uring_setup": "425, 1, 0",
    "clone3": "435, 0, 0",
    "memfd_create": "319, b'x', 0",
    "shmget": "29, 0, 4096, 0o1600",
    "the 32-bit form of getpid": "0x40000027",
}
CALL = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
ctypes.set_errno(0)
print(libc.syscall({call}), errno.errorcode.get(ctypes.get_errno()))
"""
FAMILIES = """
import socket
for family in range(1, 46):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(family, kind).close()
            print(family)
        except OSError:
            pass
"""
SHARED = """
import mmap, time
held = mmap.mmap(-1, 300_000_000)
for at in range(0, 300_000_000, 4096):
    held[at] = 1
time.sleep(20)
"""
#: The same memory in many processes counts once.
TOGETHER = """
import mmap, os, time
held = mmap.mmap(-1, 60_000_000)
for at in range(0, 60_000_000, 4096):
    held[at] = 1
for _ in range(5):
    if os.fork() == 0:
        sum(held[at] for at in range(0, 60_000_000, 4096))
        time.sleep(1)
        os._exit(0)
time.sleep(1.5)
print("done")
"""

PYTHON = ["/usr/bin/python3", "-"]
pytestmark = pytest.mark.skipif(not Path(PYTHON[0]).exists(), reason="the system has no Python")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86-64")
@pytest.mark.parametrize("name", CALLS)
async def test_calls_that_reach_far_are_refused(sandbox: Sandbox, workspace: Path, name: str) -> None:
    ran = await sandbox.run(PYTHON, Room(workspace), stdin=CALL.format(call=CALLS[name]).encode())

    assert ran.output.split() in (["-1", "EPERM"], ["-1", "ENOSYS"])


async def test_sockets_are_those_of_networks_and_of_the_machine_itself(sandbox: Sandbox, workspace: Path) -> None:
    ran = await sandbox.run(PYTHON, Room(workspace), stdin=FAMILIES.encode())

    assert set(ran.output.split()) <= {"1", "2", "10", "16"}
    assert "1" in ran.output.split()


async def test_memory_that_is_shared_counts(sandbox: Sandbox, workspace: Path) -> None:
    ran = await sandbox.run(PYTHON, Room(workspace, Limits(memory_mb=200)), stdin=SHARED.encode(), seconds=30)

    assert ran.stopped == "it used more than 200 MB of memory"


async def test_memory_that_several_share_counts_once(sandbox: Sandbox, workspace: Path) -> None:
    ran = await sandbox.run(PYTHON, Room(workspace, Limits(memory_mb=200)), stdin=TOGETHER.encode(), seconds=30)

    assert (ran.output, ran.stopped) == ("done\n", "")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_kind_of_machine_has_a_filter(machine: str) -> None:
    steps = filter_of(machine)

    assert steps is not None
    assert len(steps) % 8 == 0
    assert 100 < len(steps) // 8 < 4096


def test_an_unknown_machine_has_none() -> None:
    assert filter_of("vax") is None
