"""The system calls that no command of an agent may make, as a filter for the kernel.

Everything that reaches further into the kernel than an ordinary program needs is refused; what programs try first and
can do without (clone3, io_uring, memfd) is said not to exist.
"""

import errno
import platform
import struct
from collections.abc import Iterator, Mapping, Sequence

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
#: Calls of x86-64 in their 32-bit form have this bit.
_X32 = 0x40000000
#: CLONE_NEW… of all namespaces.
_NAMESPACES = 0x7E020080
#: AF_UNIX, AF_INET, AF_INET6, AF_NETLINK.
_FAMILIES = (1, 2, 10, 16)
#: TIOCSTI and TIOCLINUX: they write into a terminal as if a human did.
_TERMINAL = (0x5412, 0x541C)

#: Names with their numbers under x86-64 and AArch64; None where there is no such call.
_REFUSED: Mapping[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "migrate_pages": (256, 238),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
#: Memory that these make is in no process, so that no limit would count it.
_ABSENT: Mapping[str, tuple[int | None, int | None]] = {
    "clone3": (435, 435),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "msgget": (68, 186),
    "shmget": (29, 194),
}
_CLONE, _UNSHARE, _SOCKET, _IOCTL = (56, 220), (272, 97), (41, 198), (16, 29)
#: Machines with the kernel's number of their calls, and their place in the tables.
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}


def filter_of(machine: str = "") -> bytes | None:
    """The filter as the kernel takes it, for a kind of machine, by default this one; None where there is none."""
    known = _MACHINES.get(machine or platform.machine())
    return None if known is None else b"".join(_program(*known))


def _program(architecture: int, at: int) -> Iterator[bytes]:
    yield _step(_LOAD, _ARCHITECTURE)
    yield _step(_EQUAL, architecture, 1, 0)
    yield _step(_RETURN, _KILL)
    yield _step(_LOAD, _NUMBER)
    yield _step(_AT_LEAST, _X32, 0, 1)
    yield _refusal(errno.ENOSYS)
    for calls, error in ((_REFUSED, errno.EPERM), (_ABSENT, errno.ENOSYS)):
        for numbers in calls.values():
            if (number := numbers[at]) is not None:
                yield _step(_EQUAL, number, 0, 1)
                yield _refusal(error)
    for call in (_CLONE, _UNSHARE):
        yield from _for(call[at], _FIRST_ARGUMENT, [_step(_ANY_BIT, _NAMESPACES, 0, 1), _refusal(errno.EPERM)])
    yield from _for(_SOCKET[at], _FIRST_ARGUMENT, [*_unless(_FAMILIES), _refusal(errno.EAFNOSUPPORT)])
    yield from _for(_IOCTL[at], _SECOND_ARGUMENT, [*_if(_TERMINAL), _refusal(errno.EPERM)])
    yield _step(_RETURN, _ALLOW)


def _for(number: int, argument: int, steps: Sequence[bytes]) -> Iterator[bytes]:
    """Steps that look at an argument of one call, and leave its number loaded for those behind them."""
    yield _step(_EQUAL, number, 0, len(steps) + 2)
    yield _step(_LOAD, argument)
    yield from steps
    yield _step(_LOAD, _NUMBER)


def _unless(values: Sequence[int]) -> Iterator[bytes]:
    """Jump over the next step if the argument is one of these."""
    for left, value in zip(range(len(values), 0, -1), values, strict=True):
        yield _step(_EQUAL, value, left, 0)


def _if(values: Sequence[int]) -> Iterator[bytes]:
    """Jump over the next step unless the argument is one of these."""
    for left, value in zip(range(len(values) - 1, -1, -1), values, strict=True):
        yield _step(_EQUAL, value, left, 0 if left else 1)


def _refusal(error: int) -> bytes:
    return _step(_RETURN, _ERRNO | error)


def _step(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_so, if_not, value)
