"""A real MCP server on standard input and output, for agents that are checked."""

from mcp.server import MCPServer

server = MCPServer("conformance")


@server.tool()
def multiply(a: int, b: int) -> str:
    """Multiply two numbers."""
    return str(a * b)


if __name__ == "__main__":
    server.run()
