"""Choice of the local stack's ports: the ones used before, else the usual ones, else the next free ones."""

import socket
from collections.abc import Callable

from control_plane.local.state import Ports

LOOPBACK = "127.0.0.1"
#: Ports that no browser opens a page or sends a request to, whoever asks it to (https://fetch.spec.whatwg.org/#bad-port).
UNREACHABLE = (6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080, 4190, 5060, 5061, 6566, 3659, 1719, 1720, 4045, 6000)
#: What answers any web page and is needed by no person: it goes to such ports.
HIDDEN = ("temporal_http", "temporal_metrics", "temporal_ui_hidden")
USUAL = Ports(
    api=8080,
    temporal=7233,
    temporal_ui=8233,
    temporal_http=UNREACHABLE[0],
    temporal_metrics=UNREACHABLE[1],
    temporal_ui_hidden=UNREACHABLE[2],
    model=8090,
)
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

    Where that one is taken the next free one is chosen, and `say` is told. Hidden ones are chosen anew.
    """
    preferred = (before or USUAL).model_dump() | wanted
    chosen: dict[str, int] = {}
    for use in HIDDEN:
        chosen[use] = (
            next(filter(is_free, (one for one in UNREACHABLE if one not in chosen.values())), 0) or _any_free()
        )
    for use, port in preferred.items():
        if use in HIDDEN:
            continue
        chosen[use] = _next_free(port, set(chosen.values()))
        if chosen[use] != port:
            say(f"Port {port} ({use.replace('_', ' ')}) is taken: using {chosen[use]}.")
    return Ports(**chosen)


def _next_free(port: int, chosen: set[int]) -> int:
    for candidate in range(port, min(port + TRIES, 65536)):
        if candidate not in chosen and is_free(candidate):
            return candidate
    return _any_free()


def _any_free() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]
