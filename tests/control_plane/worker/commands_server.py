"""An MCP server that runs whatever command it is asked to: `python commands_server.py`."""

import subprocess

from mcp.server.mcpserver import MCPServer

server = MCPServer("commands")


@server.tool()
def run(command: str) -> str:
    """Run a command line."""
    return subprocess.run(["bash", "-c", command], check=False, stdout=subprocess.PIPE).stdout.decode(errors="replace")


if __name__ == "__main__":
    server.run("stdio")
