"""A real MCP server on standard input and output, for agents that are checked."""

from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

#: The SDK's generations call their servers otherwise.
_MODULE, _CLASS = ("mcp.server.fastmcp", "FastMCP") if version("mcp").startswith("1.") else ("mcp.server", "MCPServer")
#: What the server becomes when it is started the next time, in the workspace.
_FUTURE = Path("future")

server: Any = getattr(import_module(_MODULE), _CLASS)("conformance")


@server.tool()
def multiply(a: int, b: int) -> str:
    """Multiply two numbers."""
    return str(a * b)


@server.tool()
def change(future: str) -> str:
    """Change the server: it is `richer` by one tool from its next start on, or `gone`, or `away` for that start."""
    _FUTURE.write_text(future)
    return f"it will be {future}"


def square(a: int) -> str:
    """Square a number."""
    return str(a * a)


def main() -> None:
    """Serve as what the last start has made of it."""
    future = _FUTURE.read_text() if _FUTURE.exists() else ""
    if future == "gone":
        raise SystemExit("The server is gone.")
    if future == "away":
        _FUTURE.unlink()
        raise SystemExit("The server is away.")
    if future == "richer":
        server.tool()(square)
    server.run()


if __name__ == "__main__":
    main()
