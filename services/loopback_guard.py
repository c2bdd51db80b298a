"""The guard of a server that is meant for its own machine: no web page of another origin may ask it."""

from collections.abc import Mapping
from urllib.parse import urlsplit

#: Names under which a browser on this machine knows it.
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
#: What a browser says of requests that a page of the same origin makes, or that a person makes.
OWN_SITES = frozenset({"", "same-origin", "none"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def refusal(method: str, headers: Mapping[str, str]) -> str | None:
    """Tell why a request is refused; None if it may pass. `headers` are read by lower-case names.

    A page of another origin either names itself (`Origin`, `Sec-Fetch-Site`), or was led here under a name of its own
    (`Host`: DNS rebinding). Programs that are no browsers send neither.
    """
    host = headers.get("host", "")
    if urlsplit(f"//{host}").hostname not in LOCAL_NAMES:
        return "The Host header names another host."
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return "The request comes from another web page."
    if method not in SAFE_METHODS and headers.get("sec-fetch-site", "") not in OWN_SITES:
        return "The request comes from another web page."
    return None
