"""A real MCP server on standard input and output, for agents that are checked."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

#: The SDK's generations call their servers otherwise.
_MODULE, _CLASS = ("mcp.server.fastmcp", "FastMCP") if version("mcp").startswith("1.") else ("mcp.server", "MCPServer")

server: Any = getattr(import_module(_MODULE), _CLASS)("conformance")


@server.tool()
def multiply(a: int, b: int) -> str:
    """Multiply two numbers."""
    return str(a * b)


if __name__ == "__main__":
    server.run()
