"""The MCP SDK of generation 1 or 2: frameworks ask for one or the other, and what differs ends here."""
# pyright: reportUnknownMemberType=false

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import httpx
import httpx2
import mcp
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp.types import PaginatedRequestParams

_IS_FIRST = version("mcp").startswith("1.")
_TYPES: Any = types
_MCP: Any = mcp

#: Pages of a list that a server may have, beside the first.
_PAGES = 100

#: What a session raises for an error that its server answers with.
ServerError: type[Exception] = _MCP.McpError if _IS_FIRST else _MCP.MCPError


def error_of(error: Exception) -> types.ErrorData:
    """The code and the message of a `ServerError`."""
    found: Any = error
    return found.error


def message_of(line: bytes) -> SessionMessage:
    """One line of a server's output.

    Raises:
        ValueError: it is no message.
    """
    if _IS_FIRST:
        return SessionMessage(_TYPES.JSONRPCMessage.model_validate_json(line))
    return SessionMessage(_TYPES.jsonrpc_message_adapter.validate_json(line, by_name=False))


async def tools_of(session: ClientSession, limit: int) -> list[Mapping[str, Any]]:
    """The server's tools as they are on the wire, `limit` of them at most."""
    page = _wire(await session.list_tools())
    found: list[Mapping[str, Any]] = list(page["tools"])
    for _ in range(_PAGES):
        if not page.get("nextCursor") or len(found) >= limit:
            break
        page = _wire(await session.list_tools(params=PaginatedRequestParams(cursor=page["nextCursor"])))
        found += page["tools"]
    return found[:limit]


async def called(
    session: ClientSession, tool: str, arguments: Mapping[str, Any], meta: Mapping[str, Any]
) -> Mapping[str, Any]:
    """A tool's result as it is on the wire.

    Raises:
        ServerError: the server refuses the call, or is gone.
    """
    sent: Any = dict(meta)
    return _wire(await session.call_tool(tool, dict(arguments), meta=sent))


@asynccontextmanager
async def over_http(
    url: str, headers: Mapping[str, str], transport: httpx2.AsyncBaseTransport, timeout: httpx2.Timeout
) -> AsyncGenerator[tuple[Any, Any]]:
    """What a session reads from and writes to, over streamable HTTP."""
    client: Any = (
        httpx.AsyncClient(transport=_OnHttpx2(transport), headers=dict(headers), timeout=timeout.read)
        if _IS_FIRST
        else httpx2.AsyncClient(transport=transport, headers=dict(headers), timeout=timeout)
    )
    async with client, streamable_http_client(url, http_client=client) as streams:
        read, write, *_ = streams
        yield read, write


class _OnHttpx2(httpx.AsyncBaseTransport):
    """Generation 1 speaks through httpx, our guarded transport is one of httpx2."""

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        headers = [(name.decode(), value.decode()) for name, value in request.headers.raw]
        asked = httpx2.Request(
            request.method, str(request.url), headers=headers, content=content, extensions=request.extensions
        )
        answer = await self._transport.handle_async_request(asked)
        return httpx.Response(answer.status_code, headers=answer.headers.raw, stream=_Body(answer))

    async def aclose(self) -> None:
        await self._transport.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpx2.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        stream: Any = self._answer.stream
        async for chunk in stream:
            yield chunk

    async def aclose(self) -> None:
        stream: Any = self._answer.stream
        await stream.aclose()


def _wire(model: Any) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True)
