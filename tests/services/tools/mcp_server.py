"""An MCP server for tests, over stdio or streamable HTTP: `python mcp_server.py [PORT]`."""

import hashlib
import json
import os
import resource
import sys
from pathlib import Path

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

server = MCPServer("samples")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(first: int, second: int) -> int:
    """Add two numbers."""
    return first + second


@server.tool(annotations=ToolAnnotations(idempotent_hint=True))
async def key(context: Context) -> str:
    """Tell the call's idempotency key."""
    return str(dict(context.request_context.meta or {}).get("holdfast/idempotency-key"))


@server.tool()
async def told(context: Context) -> str:
    """Tell all that came beside the call's arguments."""
    return json.dumps(dict(context.request_context.meta or {}), default=str)


@server.tool()
def fail(reason: str) -> str:
    """Fail with a reason."""
    raise ToolError(reason)


@server.tool()
def die() -> str:
    """End the server at once."""
    os._exit(3)


@server.tool(name="see.things")
def see_things() -> dict[str, object]:
    """Tell what the server sees."""
    return {"environment": sorted(os.environ), "here": os.getcwd(), "secret": Path("/etc/shadow").exists()}


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def digest(name: str) -> str:
    """Tell the SHA-256 of a variable of the server's environment."""
    return hashlib.sha256(os.environ[name].encode()).hexdigest()


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def show(name: str) -> str:
    """Tell a variable of the server's environment."""
    return f"It is {os.environ[name]}!"


@server.tool()
def die_telling(name: str) -> str:
    """End the server at once, with a variable of its environment as its last words."""
    print(os.environ[name], file=sys.stderr, flush=True)
    os._exit(3)


@server.tool()
def limits() -> dict[str, int]:
    """Tell the limits of the server's process."""
    kinds = {"core": resource.RLIMIT_CORE, "open_files": resource.RLIMIT_NOFILE}
    return {name: resource.getrlimit(kind)[1] for name, kind in kinds.items()}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run("stdio")
