"""MCP servers that want to know who asks: their refusals, told as what is to be set."""

from collections.abc import Sequence

import httpx2

from runtimes.errors import McpServerRefused
from services.tools.configuration import McpServer, SecretReference

_REFUSALS = (401, 403)
#: Characters of a server's challenge that are told.
_CHALLENGE_LIMIT = 200
#: Secrets that a hint names.
_SECRETS_TOLD = 3


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

    def __init__(self, name: str, server: McpServer) -> None:
        self._server = name
        self._has_credentials = bool(server.headers or server.query)
        values = (*server.headers.values(), server.query)
        self._secrets = sorted({value.secret for value in values if isinstance(value, SecretReference)})
        self._failure: McpServerRefused | None = None

    def note(self, status: int, challenge: str) -> None:
        """Remember a refusal; `challenge` is what the server says that it wants."""
        wants = f" It wants: {challenge[:_CHALLENGE_LIMIT]}" if challenge else ""
        whom = "the credentials in the agent's definition" if self._has_credentials else "a caller without credentials"
        hint = f"Set what it wants as headers of '{self._server}' in the agent's toolset mcp, such as Authorization."
        if self._secrets:
            whom = f"the credentials that it was given (secrets: {', '.join(self._secrets)})"
            hint = f"Replace the one that is out of date, where it is set: {_commands(self._secrets)}"
        message = f"MCP server '{self._server}' refuses {whom} ({status}).{wants}"
        self._failure = McpServerRefused(message, hint=hint)

    def check(self) -> None:
        """Raise the refusal, if there was one.

        Raises:
            McpServerRefused: the server wants other credentials.
        """
        if self._failure is not None:
            raise self._failure


def _commands(secrets: Sequence[str]) -> str:
    named = secrets[:_SECRETS_TOLD] if len(secrets) <= _SECRETS_TOLD else ["NAME"]
    commands = " or ".join(f"holdfast secrets set {name}" for name in named)
    return f"{commands}, or the worker's setting worker_secrets."
