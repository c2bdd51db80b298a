"""Takes the operator's places out of words that tenants read: hosts and ports inside, and directories of the worker."""

import re
import socket
import sys
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

_HOST = "[a host]"
_OWN_NAMES = r"(?:internal|local|localdomain|lan|intranet|corp|svc|home\.arpa)"
#: The authority of a URL; `host:port`; an address; a name that only an inner network knows.
_PLACES = re.compile(
    r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)(?:[^\s/@'\"]*@)?(?P<authority>\[[0-9A-Fa-f:.]+\](?::\d+)?|[\w.-]+(?::\d+)?)"
    r"|(?P<address>(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?(?![\w.]*\w))"
    r"|(?P<bracketed>\[[0-9A-Fa-f:]*::?[0-9A-Fa-f:.]*\](?::\d+)?)"
    rf"|(?P<name>\b[\w-]+(?:\.[\w-]+)*\.{_OWN_NAMES}\b(?::\d+)?)"
    r"|(?P<local>\blocalhost\b(?::\d+)?)"
)
#: Where a machine's files are; what stands in a sandbox's /workspace is the agent's own.
_ROOTS = "app|data|etc|home|lib|lib64|mnt|nix|opt|private|proc|root|run|srv|sys|tmp|usr|Users|var|Volumes"
#: A machine's name that is a word of every day is not looked for.
_SHORTEST_NAME = 5


def discreet(text: str, hidden: Iterable[str] = ()) -> tuple[str, list[str]]:
    """The text without the operator's places, and those that were in it; `hidden` are further ones."""
    found: list[str] = []
    named = [place for place in (*hidden, *_own_names()) if place]
    for place in sorted(named, key=len, reverse=True):
        pattern = re.compile(rf"(?<![\w.-]){re.escape(place)}(?::\d+)?(?![\w-])")
        found += pattern.findall(text)
        text = pattern.sub(_HOST, text)
    text = _PLACES.sub(lambda match: _without_place(match, found), text)
    return _directories().sub(lambda match: _without_directory(match, found), text), found


def _directories() -> re.Pattern[str]:
    """All directories of an absolute path, also where this program itself is in an uncommon one."""
    own = {re.escape(Path(path).parts[1]) for path in (sys.prefix, __file__, str(Path.home())) if path.count("/") > 1}
    return re.compile(rf"(?<![\w.:/~>-])/(?:{'|'.join(sorted(own | {_ROOTS}))})/(?:[\w.@+~-]+/)*")


def _own_names() -> tuple[str, ...]:
    name = socket.gethostname()
    return (name,) if len(name) >= _SHORTEST_NAME and name != "localhost" else ()


def _without_place(match: re.Match[str], found: list[str]) -> str:
    whole = match.group()
    if match["address"] and not _is_inner(match["address"]):
        return whole
    if match["authority"] is not None and not _is_inner(match["authority"]):
        return whole
    if match["bracketed"] and not _is_inner(match["bracketed"]):
        return whole
    found.append(whole)
    return f"{match['scheme'] or ''}{_HOST}"


def _without_directory(match: re.Match[str], found: list[str]) -> str:
    found.append(match.group())
    return "…/"


def _is_inner(place: str) -> bool:
    """Whether a host, perhaps with a port, is none of the internet's."""
    host = place[1:].partition("]")[0] if place.startswith("[") else place.partition(":")[0].rstrip(".")
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or re.search(rf"\.{_OWN_NAMES}$", host) is not None
