"""The toolset `mcp`: tools of MCP servers, connected when a turn begins and closed with it."""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, cast

import httpx2
from mcp import ClientSession
from mcp.types import CONNECTION_CLOSED

from runtimes.errors import McpServerFailed, RuntimeFailure, ToolsetInvalid
from runtimes.meant import guess
from runtimes.sandbox.command_line import Limits, Room
from runtimes.types import Effect
from services.egress import Egress, UrlForbidden
from services.sandbox.sandbox import Sandbox
from services.tools.absent import Absent, Reconnect
from services.tools.configuration import McpServer, McpToolset
from services.tools.mcp_limits import BoundedTransport
from services.tools.mcp_process import as_process
from services.tools.mcp_refusals import Refusals, Watched
from services.tools.mcp_sdk import ServerError, called, error_of, over_http, tools_of
from services.tools.place import TurnPlace
from services.tools.sandboxed import check_network
from services.tools.secret_values import SecretValues, ServerValues
from services.tools.spec import Call, ToolFailed, ToolSpec

#: Seconds in which a server has to be connected and to have told its tools; and those that it gets to close.
CONNECT_SECONDS = 30.0
CLOSE_SECONDS = 10.0
#: Tools that one server may have.
TOOLS_LIMIT = 500
#: Bytes that all of them may be described with, and characters that one may: models read them in each call.
TOOLS_BYTES = 2 * 1024 * 1024
DESCRIPTION_LIMIT = 20_000
#: What every framework and model takes as a tool's name.
_NAME_LIMIT = 64
#: Where a call's idempotency key stands in its `_meta`.
KEY = "holdfast/idempotency-key"

_TIMEOUT = httpx2.Timeout(30.0, read=300.0)
_ALLOW = "The setting that lets places in is HOLDFAST_WEB_ALLOW, on the worker."
#: A server lives as long as its turn; its files and processes are bounded.
_LIMITS = Limits(cpu_seconds=3600, processes=256)
_IDENTITY = {"USER": "agent", "LOGNAME": "agent", "SHELL": "/bin/sh"}

_Transport = Callable[[], AbstractAsyncContextManager[Any]]


class McpServers:
    """Connects servers; `commands` are the programs that may be started, by name or path as agents write them."""

    def __init__(self, sandbox: Sandbox, egress: Egress, commands: Sequence[str] = ()) -> None:
        self._sandbox = sandbox
        self._egress = egress
        self._commands = frozenset(commands)

    @asynccontextmanager
    async def open(
        self, wanted: McpToolset, place: TurnPlace, absent: list[Absent] | None = None
    ) -> AsyncGenerator[list[ToolSpec]]:
        """The servers' tools; the servers are there until this ends.

        With a list `absent`, servers that cannot be used are left out, and it is told why, and how to try again.

        Raises:
            ToolsetInvalid: a server's command or URL is not allowed, or it lacks a tool that is wanted of it.
            McpServerFailed: a server cannot be reached, is none, or refuses who asks.
        """
        connections = [_Connection(name, server, place.secrets) for name, server in wanted.servers.items()]
        try:
            opening = [self._open(connection, place) for connection in connections]
            for each, failure in zip(connections, await asyncio.gather(*opening, return_exceptions=True), strict=True):
                again = partial(self._open_again, each, wanted, place)
                _tell_or_raise(failure, absent, _prefix(each.name), again)
            yield [spec for each in connections for spec in _specs(each, wanted, whole=absent is None)]
        finally:
            await asyncio.gather(*(connection.close() for connection in connections))

    async def _open_again(self, connection: "_Connection", wanted: McpToolset, place: TurnPlace) -> list[ToolSpec]:
        """The tools of a server that was away, if it is back."""
        await connection.close()
        connection.renew()
        await self._open(connection, place)
        return _specs(connection, wanted, whole=False)

    async def _open(self, connection: "_Connection", place: TurnPlace) -> None:
        with connection.values.untold():
            connection.values.resolve()
            await connection.open(await self._transport(connection, place))

    async def _transport(self, connection: "_Connection", place: TurnPlace) -> _Transport:
        if connection.server.url is not None:
            return await self._over_http(connection, connection.server.url)
        return await self._as_process(connection, connection.server, place)

    async def _over_http(self, connection: "_Connection", url: str) -> _Transport:
        await self._check_url(connection.name, url)
        values = connection.values
        watched = Watched(BoundedTransport(self._egress.transport(kept=10)), connection.refusals)
        return partial(over_http, f"{url}{values.query}", values.headers, watched, _TIMEOUT)

    async def _as_process(self, connection: "_Connection", server: McpServer, place: TurnPlace) -> _Transport:
        name, command = connection.name, server.command or []
        if command[0] not in self._commands:
            allowed = ", ".join(sorted(self._commands)) or "none at all"
            raise ToolsetInvalid(
                f"MCP server '{name}': the worker allows no command '{command[0]}'.",
                hint=f"Allowed are: {allowed}. The setting is HOLDFAST_MCP_COMMANDS, on the worker.",
            )
        check_network(server.network, self._sandbox)
        await self._sandbox.check()
        variables = {**_IDENTITY, **connection.values.env}
        limits = _LIMITS.within(self._sandbox.most)
        room = Room(place.workspace, limits, server.network, self._sandbox.readable, environment=variables)
        return partial(as_process, command, room)

    async def _check_url(self, name: str, url: str) -> None:
        try:
            await self._egress.addresses(self._egress.check(url))
        except UrlForbidden as error:
            raise ToolsetInvalid(f"MCP server '{name}': {error}", hint=_ALLOW) from error
        except httpx2.ConnectError as error:
            raise McpServerFailed(f"MCP server '{name}' cannot be reached: {error}") from error


class _Connection:
    """A server's session, held by a task of its own: the SDK's scopes have to be left where they were entered."""

    def __init__(self, name: str, server: McpServer, secrets: SecretValues) -> None:
        self.name = name
        self.server = server
        self.values = ServerValues(server, secrets)
        self.renew()

    def renew(self) -> None:
        """Forget what was before, to be opened again."""
        self.refusals = Refusals(self.name, self.server)
        self.tools: list[Mapping[str, Any]] = []
        self._session: ClientSession | None = None
        self._leave = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def open(self, transport: _Transport) -> None:
        """Connect, and learn the server's tools."""
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.create_task(self._keep(transport, ready))
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.wait({self._keeper, ready}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            self.refusals.check()
            raise McpServerFailed(f"MCP server '{self.name}' did not answer in {CONNECT_SECONDS:g} s.") from None
        if not ready.done():
            ready.cancel()
            self.refusals.check()
            raise McpServerFailed(f"MCP server '{self.name}' cannot be used: {_reason(self._keeper.exception())}")

    async def call(self, tool: str, arguments: Mapping[str, Any], call: Call) -> str:
        """Call a tool.

        Raises:
            ToolFailed: the tool says that it failed.
            McpServerFailed: the server is gone, or refuses who asks.
        """
        with self.values.untold():
            return self.values.shown(await self._call(tool, arguments, call))

    async def _call(self, tool: str, arguments: Mapping[str, Any], call: Call) -> str:
        self.refusals.check()
        if self._session is None or self._keeper is None or self._keeper.done():
            raise McpServerFailed(f"MCP server '{self.name}' has ended in the middle of the turn.")
        try:
            result = await called(self._session, tool, arguments, {KEY: call.idempotency_key})
        except ServerError as failure:
            self.refusals.check()
            error = error_of(failure)
            if error.code == CONNECTION_CLOSED:
                told = f"MCP server '{self.name}' has ended in the middle of a call: {error.message}"
                raise McpServerFailed(told) from failure
            raise ToolFailed(f"The MCP server refuses the call: {error.message}") from failure
        if result.get("isError"):
            raise ToolFailed(_text(result) or "The tool failed and does not say why.")
        return _text(result)

    async def close(self) -> None:
        """End the session, and the server if it was started; however often the caller is cancelled."""
        self._leave.set()
        if self._keeper is not None:
            if self._session is None:
                self._keeper.cancel()
            _, left = await asyncio.shield(asyncio.wait({self._keeper}, timeout=CLOSE_SECONDS))
            for task in left:
                task.cancel()

    async def _keep(self, transport: _Transport, ready: "asyncio.Future[None]") -> None:
        async with transport() as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            self.tools = await tools_of(session, TOOLS_LIMIT)
            self._session = session
            ready.set_result(None)
            await self._leave.wait()


def _tell_or_raise(failure: BaseException | None, absent: list[Absent] | None, prefix: str, again: Reconnect) -> None:
    if failure is None:
        return
    if absent is None or not isinstance(failure, RuntimeFailure):
        raise failure
    absent.append(Absent(failure.message, prefix, again))


def _specs(connection: _Connection, wanted: McpToolset, *, whole: bool) -> list[ToolSpec]:
    """The tools of a server; `whole` is whether it must have all that are wanted of it."""
    size = len(json.dumps(connection.tools))
    if size > TOOLS_BYTES:
        told = f"MCP server '{connection.name}' describes its tools with {size} bytes; {TOOLS_BYTES} are the most."
        raise ToolsetInvalid(told, hint="Take a server with fewer tools, or with shorter schemas.")
    names = [tool["name"] for tool in connection.tools]
    only = connection.server.only or names
    missing = next((name for name in only if name not in names), None)
    if whole and missing is not None:
        told = f"MCP server '{connection.name}' has no tool '{missing[:100]}'."
        raise ToolsetInvalid(told, hint=guess(missing, names))
    return [_spec(connection, tool, wanted) for tool in connection.tools if tool["name"] in only]


def _spec(connection: _Connection, tool: Mapping[str, Any], wanted: McpToolset) -> ToolSpec:
    name = tool_name(connection.name, tool["name"])
    effect = _effect(tool)
    return ToolSpec(
        name=name,
        description=(tool.get("description") or "")[:DESCRIPTION_LIMIT],
        parameters=tool["inputSchema"],
        handler=partial(connection.call, tool["name"]),
        effect=effect,
        writes=connection.server.command is not None and effect is not Effect.READ_ONLY,
        timeout_seconds=wanted.seconds_of(name),
    )


def tool_name(server: str, tool: str) -> str:
    """What models call a server's tool: always the same, never too long, and no other tool's name."""
    whole = f"{server}__{tool}"
    plain = _plain(whole)
    if plain == whole and len(whole) <= _NAME_LIMIT:
        return whole
    mark = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{plain[: _NAME_LIMIT - 9]}_{mark}"


def _prefix(server: str) -> str:
    """Give the beginning of the names of all tools of a server."""
    return _plain(f"{server}__")[: _NAME_LIMIT - 9]


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)


def _effect(tool: Mapping[str, Any]) -> Effect:
    hints: Mapping[str, Any] = tool.get("annotations") or {}
    if hints.get("readOnlyHint"):
        return Effect.READ_ONLY
    return Effect.IDEMPOTENT if hints.get("idempotentHint") else Effect.AT_MOST_ONCE


def _text(result: Mapping[str, Any]) -> str:
    parts = [part["text"] if part["type"] == "text" else _described(part) for part in result["content"]]
    if not parts and result.get("structuredContent") is not None:
        return json.dumps(result["structuredContent"], ensure_ascii=False)
    return "\n".join(parts)


def _described(part: Mapping[str, Any]) -> str:
    """What is no text: a resource's own text if it has one, else what it is."""
    resource: Mapping[str, Any] = part.get("resource") or part
    if (text := resource.get("text")) is not None:
        return str(text)
    where = resource.get("uri") or part.get("mimeType") or ""
    return f"[{part['type']} {where}]"


def _reason(error: BaseException | None) -> str:
    """The first of the causes that a task group has put together, and what the server said."""
    said = " ".join(getattr(error, "__notes__", []))
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseException", error.exceptions[0])
    told = error_of(error).message if isinstance(error, ServerError) else f"{type(error).__name__}: {error}"
    return f"{told}. It said: {said}" if said else told
