"""Choice of the local stack's ports: the ones used before, else the usual ones, else the next free ones."""

import socket
from collections.abc import Callable

from control_plane.local.state import Ports

LOOPBACK = "127.0.0.1"
USUAL = Ports(api=8080, temporal=7233, temporal_ui=8233, temporal_http=7243, temporal_metrics=7253, model=8090)
#: How many ports above the wanted one are tried before the kernel chooses.
TRIES = 100


def is_free(port: int) -> bool:
    """Whether a server could listen on the port on loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def choose_ports(wanted: dict[str, int], before: Ports | None, say: Callable[[str], None]) -> Ports:
    """Choose a port for each use: `wanted` (by the user), else as `before`, else the usual one.

    Where that one is taken the next free one is chosen, and `say` is told.
    """
    preferred = (before or USUAL).model_dump() | wanted
    chosen: dict[str, int] = {}
    for use, port in preferred.items():
        chosen[use] = _next_free(port, set(chosen.values()))
        if chosen[use] != port:
            say(f"Port {port} ({use.replace('_', ' ')}) is taken: using {chosen[use]}.")
    return Ports(**chosen)


def _next_free(port: int, chosen: set[int]) -> int:
    for candidate in range(port, min(port + TRIES, 65536)):
        if candidate not in chosen and is_free(candidate):
            return candidate
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]
