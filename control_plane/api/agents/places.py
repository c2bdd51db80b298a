"""Where an agent's toolsets lead: what can be told of it before a worker asks."""

from collections.abc import Iterable, Sequence

from control_plane.errors import UrlForbidden
from services.egress import Egress
from services.egress import UrlForbidden as Refused
from services.tools.configuration import McpToolset, ToolsetConfiguration


def check_urls(toolsets: Sequence[ToolsetConfiguration], allow: Iterable[str], below: str = "") -> None:
    """Accept URLs of MCP servers that lead to the internet, or to places that the operator allows.

    `below` is where in the body the toolsets are.

    Raises:
        UrlForbidden: one leads elsewhere.
    """
    egress = Egress(allow)
    for index, toolset in enumerate(toolsets):
        for name, server in toolset.servers.items() if isinstance(toolset, McpToolset) else ():
            try:
                _ = server.url and egress.check(server.url)
            except Refused as error:
                raise UrlForbidden(str(error), field=f"{below}/toolsets/{index}/servers/{name}/url") from error
