"""`holdfast runtimes …` and `holdfast pools …`."""

from typing import Annotated, Any

import typer

from control_plane.cli.check import check
from control_plane.cli.commands import command_group
from control_plane.cli.options import Invocation, segment, with_api
from control_plane.cli.output import Output, ago
from control_plane.cli.resolve import resolve
from control_plane.cli.runtime_changes import add, remove

RUNTIME_COLUMNS = {
    "NAME": "name",
    "LIVE": "live",
    "POOLS": "pools",
    "PACKAGE": "package",
    "INSTALLED": "installed",
    "SUPPORTED": "versions",
    "CAPABILITIES": "capabilities",
    "TITLE": "title",
}
POOL_COLUMNS = {
    "POOL": "pool",
    "KIND": "kind",
    "TASK QUEUE": "task_queue",
    "WORKERS": "workers",
    "RUNNING": "running",
    "SLOTS": "slots",
    "RUNTIMES": "runtimes",
    "BUILDS": "build_ids",
    "DRAINING": "draining",
    "SEEN": "seen",
}
WORKER_COLUMNS = {
    "WORKER": "id",
    "HOST": "host",
    "PID": "pid",
    "BUILD": "build_id",
    "RUNNING": "running",
    "SLOTS": "slots",
    "MEMORY": "memory",
    "STATE": "state",
    "SEEN": "seen",
}
GIGABYTE = 1e9
PoolArgument = Annotated[str, typer.Argument(metavar="POOL", parser=segment, help="Name of the pool.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", parser=segment, help="Name of the runtime.")]


runtimes = command_group("Look at runtimes, check them, add them to the local stack.")
pools = command_group("Look at worker pools, and drain them.")


@runtimes.command("list")
@with_api
def list_runtimes(invocation: Invocation) -> None:
    """List runtimes: which a live worker serves, which versions are there, and which plugins are broken."""
    page = _page(invocation.api.get("/runtimes"))
    if invocation.printer.output is Output.TABLE:
        for item in page["items"]:
            item["installed"] = _installed(item)
    invocation.printer.page(page, RUNTIME_COLUMNS)
    for broken in page.get("broken", ()):
        text = "Broken plugin '{name}' ({origin}): {reason} {hint}".format(**broken)
        invocation.printer.note(text.rstrip())


@runtimes.command("show")
@with_api
def show_runtime(invocation: Invocation, name: NameArgument) -> None:
    """Show one runtime."""
    invocation.printer.record(invocation.api.get(f"/runtimes/{name}"))


runtimes.command("check")(check)
runtimes.command("resolve")(resolve)
runtimes.command("add")(add)
runtimes.command("remove")(remove)


@pools.command("list")
@with_api
def list_pools(invocation: Invocation) -> None:
    """List worker pools that are live now."""
    page = _page(invocation.api.get("/worker-pools"))
    if invocation.printer.output is Output.TABLE:
        for item in page["items"]:
            item["seen"] = ago(item["seen_at"])
    invocation.printer.page(page, POOL_COLUMNS)


@pools.command("show")
@with_api
def show_pool(invocation: Invocation, pool: PoolArgument) -> None:
    """Show one pool's workers: slots, turns, memory, build."""
    found = invocation.api.get(f"/worker-pools/{pool}")
    if invocation.printer.output is Output.TABLE:
        invocation.printer.table(map(_shown, found["live_workers"]), WORKER_COLUMNS)
    else:
        invocation.printer.document(found)


@pools.command("drain")
@with_api
def drain_pool(
    invocation: Invocation,
    pool: PoolArgument,
    build_id: Annotated[str | None, typer.Option("--build-id", help="Only the workers of this build.")] = None,
) -> None:
    """Let a pool's present workers take nothing new, hand back what does not end in time, and end."""
    drained = invocation.api.send("POST", f"/worker-pools/{pool}/drain", query={"build_id": build_id})
    if invocation.printer.output is Output.TABLE:
        invocation.printer.note(f"{drained['draining']} of {drained['workers']} workers drain.")
        invocation.printer.note(f"See: holdfast pools show {pool}")
    else:
        invocation.printer.document(drained)


def _shown(worker: dict[str, Any]) -> dict[str, Any]:
    used, limit = (worker[name] / GIGABYTE for name in ("memory_used", "memory_limit"))
    leaves = worker["draining"] or worker["drain_requested_at"]
    return worker | {
        "memory": f"{used:.1f} of {limit:.1f} GB" if limit else "",
        "state": "draining" if leaves else "serving",
        "seen": ago(worker["seen_at"]),
    }


def _installed(runtime: dict[str, Any]) -> list[str]:
    """The versions of live workers, else the one beside the API; those that the adapter was not made for say so."""
    versions: list[str] = runtime["installed_versions"] or [runtime["installed_version"]]
    unsupported: list[str] = runtime["unsupported_versions"]
    return [f"{version} (unsupported)" if version in unsupported else version for version in versions if version]


def _page(listed: Any) -> dict[str, Any]:
    return listed if isinstance(listed, dict) else {"items": listed}  # pyright: ignore[reportUnknownVariableType]
