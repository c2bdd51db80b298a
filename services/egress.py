"""The way out to addresses that an agent names, and none of the worker's own neighbours."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx2

#: Ports that need no leave.
PORTS = {"http": 80, "https": 443}
#: Addresses that Python calls global, or does in some versions, and that are none to be reached from here.
_NOT_GLOBAL = [
    ip_network(network)
    for network in (
        "100.64.0.0/10",
        "168.63.129.16/32",
        "192.0.0.0/24",
        "192.31.196.0/24",
        "192.88.99.0/24",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "::/96",
        "::ffff:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3fff::/20",
        "fec0::/10",
    )
]

#: Takes a host's name and a port, gives its addresses.
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]


class UrlForbidden(Exception):
    """A URL that must not be asked for; the message says why."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Egress:
    """Which URLs may be asked for; `allow` are places (`host:port`) that the worker's operator lets in beside."""

    def __init__(self, allow: Iterable[str] = (), resolver: Resolver = resolve) -> None:
        self._allow = frozenset(place.strip().lower() for place in allow)
        self._resolve = resolver

    def check(self, url: str) -> httpx2.URL:
        """Accept a URL, as far as it can be told without asking for its host's addresses.

        Raises:
            UrlForbidden: it cannot be used, or leads where it must not.
        """
        try:
            parsed = httpx2.URL(url)
        except httpx2.InvalidURL as error:
            raise UrlForbidden(f"'{url.partition('?')[0][:200]}' is no URL: {error}.") from None
        self._check_form(parsed)
        host = parsed.raw_host.decode()
        literal = _literal(host)
        if not self._is_allowed(parsed) and (host.rstrip(".") in _LOCAL or literal):
            _check_addresses(host, [literal] if literal else [])
        return parsed

    async def addresses(self, url: httpx2.URL) -> Sequence[str]:
        """The addresses that a URL may be asked for at: all are checked, and none is looked up again.

        Raises:
            UrlForbidden: one of them is none of the internet's.
            httpx2.ConnectError: the host is not known.
        """
        self._check_form(url)
        host, port = url.raw_host.decode(), url.port or PORTS[url.scheme]
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpx2.ConnectError(f"The host '{host}' is not known: {error}.") from error
        if not self._is_allowed(url):
            _check_addresses(host, found)
        return found

    def transport(self, *, kept: int = 0) -> "GuardedTransport":
        """A transport that asks for nothing else, for one client; redirects are the client's business.

        Connections are `kept` for the next request only where one host is asked: an address may have many names.
        """
        return GuardedTransport(self, kept)

    def _check_form(self, url: httpx2.URL) -> None:
        if url.scheme not in PORTS:
            raise UrlForbidden(f"Only http and https URLs can be asked for, not '{url.scheme[:20]}'.")
        if url.userinfo:
            raise UrlForbidden("A URL must not hold a user or a password.")
        if not url.raw_host or b"%" in url.raw_host:
            raise UrlForbidden("The URL names no host.")
        if not self._is_allowed(url) and url.port not in (None, *PORTS.values()):
            raise UrlForbidden(f"Port {url.port} is not allowed: only 80 and 443 are.")

    def _is_allowed(self, url: httpx2.URL) -> bool:
        host = url.raw_host.decode().lower()
        named = f"[{host}]" if ":" in host else host
        return f"{named}:{url.port or PORTS.get(url.scheme)}" in self._allow


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Connects to the addresses that were checked, under the name that was asked for.

    No proxy, no variable of the environment.
    """

    def __init__(self, egress: Egress, kept: int) -> None:
        self._egress = egress
        limits = httpx2.Limits(max_keepalive_connections=kept)
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Ask one address after the other, until one answers the connection.

        Raises:
            UrlForbidden: as `Egress.addresses`.
        """
        url = request.url
        failure = httpx2.ConnectError(f"The host '{url.host}' has no address.")
        for address in await self._egress.addresses(url):
            try:
                return await self._inner.handle_async_request(_at(address, request))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def aclose(self) -> None:
        """Close its connections."""
        await self._inner.aclose()


#: Names of the machine itself.
_LOCAL = frozenset({"localhost", "ip6-localhost", "ip6-loopback"})


def _at(address: str, request: httpx2.Request) -> httpx2.Request:
    """The request for an address; the header Host and the name for TLS stay."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.raw_host.decode()},
    )


def _literal(host: str) -> str:
    """The address that a host is, also in its old forms such as 127.1 and 0x7f.1; empty if it is a name."""
    with suppress(OSError):
        return socket.inet_ntoa(socket.inet_aton(host))
    with suppress(ValueError):
        return str(ip_address(host))
    return ""


def _check_addresses(host: str, addresses: Sequence[str]) -> None:
    if not addresses or not all(_is_global(ip_address(address.partition("%")[0])) for address in addresses):
        raise UrlForbidden(f"'{host[:200]}' is no host of the internet: private and local addresses are not allowed.")


def _is_global(address: IPv4Address | IPv6Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    return not any(address in network for network in _NOT_GLOBAL if network.version == address.version)
