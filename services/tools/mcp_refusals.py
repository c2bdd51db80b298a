"""MCP servers that want to know who asks: their refusals, told as what is to be set."""

import httpx2

from runtimes.errors import McpServerRefused

_REFUSALS = (401, 403)
#: Characters of a server's challenge that are told.
_CHALLENGE_LIMIT = 200


class Watched(httpx2.AsyncBaseTransport):
    """Passes everything on, and remembers whether the server refused who asks: the SDK tells that in many ways."""

    def __init__(self, transport: httpx2.AsyncBaseTransport, refusals: "Refusals") -> None:
        self._transport = transport
        self._refusals = refusals

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._transport.handle_async_request(request)
        if request.method == "POST" and answer.status_code in _REFUSALS:
            self._refusals.note(answer.status_code, answer.headers.get("www-authenticate", ""))
        return answer

    async def aclose(self) -> None:
        await self._transport.aclose()


class Refusals:
    """The last refusal of one server."""

    def __init__(self, server: str, *, has_headers: bool) -> None:
        self._server = server
        self._has_headers = has_headers
        self._failure: McpServerRefused | None = None

    def note(self, status: int, challenge: str) -> None:
        """Remember a refusal; `challenge` is what the server says that it wants."""
        wants = f" It wants: {challenge[:_CHALLENGE_LIMIT]}" if challenge else ""
        whom = "the credentials in the agent's definition" if self._has_headers else "a caller without credentials"
        self._failure = McpServerRefused(
            f"MCP server '{self._server}' refuses {whom} ({status}).{wants}",
            hint=f"Set what it wants as headers of '{self._server}' in the agent's toolset mcp, such as Authorization.",
        )

    def check(self) -> None:
        """Raise the refusal, if there was one.

        Raises:
            McpServerRefused: the server wants other credentials.
        """
        if self._failure is not None:
            raise self._failure
