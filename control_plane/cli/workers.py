"""`holdfast runtimes …` and `holdfast pools …`."""

from typing import Annotated, Any

import typer

from control_plane.cli.check import check
from control_plane.cli.commands import command_group
from control_plane.cli.options import Invocation, segment, with_api
from control_plane.cli.output import Output, ago

RUNTIME_COLUMNS = {"NAME": "name", "LIVE": "live", "CAPABILITIES": "capabilities", "TITLE": "title"}
POOL_COLUMNS = {
    "POOL": "pool",
    "KIND": "kind",
    "TASK QUEUE": "task_queue",
    "WORKERS": "workers",
    "RUNNING": "running",
    "SLOTS": "slots",
    "RUNTIMES": "runtimes",
    "DRAINING": "draining",
    "SEEN": "seen",
}
NameArgument = Annotated[str, typer.Argument(metavar="NAME", parser=segment, help="Name of the runtime.")]


runtimes = command_group("Look at runtimes, and check them.")
pools = command_group("Look at worker pools.")


@runtimes.command("list")
@with_api
def list_runtimes(invocation: Invocation) -> None:
    """List runtimes, and which of them a live worker serves."""
    invocation.printer.page(_page(invocation.api.get("/runtimes")), RUNTIME_COLUMNS)


@runtimes.command("show")
@with_api
def show_runtime(invocation: Invocation, name: NameArgument) -> None:
    """Show one runtime."""
    invocation.printer.record(invocation.api.get(f"/runtimes/{name}"))


runtimes.command("check")(check)


@pools.command("list")
@with_api
def list_pools(invocation: Invocation) -> None:
    """List worker pools that are live now."""
    page = _page(invocation.api.get("/worker-pools"))
    if invocation.printer.output is Output.TABLE:
        for item in page["items"]:
            item["seen"] = ago(item["seen_at"])
    invocation.printer.page(page, POOL_COLUMNS)


def _page(listed: Any) -> dict[str, Any]:
    return listed if isinstance(listed, dict) else {"items": listed}  # pyright: ignore[reportUnknownVariableType]
