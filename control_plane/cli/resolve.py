"""`holdfast runtimes resolve`: which runtime an agent gets, and why."""

from typing import Annotated, Any

import typer

from control_plane.cli.options import Invocation, with_api
from control_plane.cli.output import Output, Printer

COLUMNS = {"": "mark", "RUNTIME": "runtime", "STAGE": "stage", "SCORE": "score", "WHY": "reason"}


@with_api
def resolve(
    invocation: Invocation, agent: Annotated[str, typer.Argument(metavar="AGENT", help="Name or id of the agent.")]
) -> None:
    """Show which runtime and pool an agent's next execution gets, and why: one line for each candidate."""
    resolution = invocation.api.send("POST", "/runtimes/resolve", body={"agent_id": agent})
    if invocation.printer.output is Output.TABLE:
        show_resolution(invocation.printer, resolution)
    else:
        invocation.printer.document(resolution)


def show_resolution(printer: Printer, resolution: dict[str, Any]) -> None:
    """The decision's lines on stdout, and what came of it on stderr."""
    printer.table([_line(candidate) for candidate in resolution["candidates"]], COLUMNS)
    if required := resolution.get("required"):
        printer.note("Required: " + ", ".join(f"{name} ({why})" for name, why in required.items()))
    printer.note(_outcome(resolution))


def _line(candidate: dict[str, Any]) -> dict[str, Any]:
    return {
        "mark": "→" if candidate["taken"] else " ",
        "runtime": candidate["runtime"],
        "stage": candidate["stage"],
        "score": _sum(candidate.get("score")),
        "reason": candidate["reason"],
    }


def _sum(score: dict[str, int] | None) -> str | None:
    """The score as the sum that it is; parts that add nothing are left out."""
    if not score:
        return None
    parts = [f"{name} {points:+d}" for name, points in score.items() if name != "total" and points]
    return f"{score['total']} ({', '.join(parts)})"


def _outcome(resolution: dict[str, Any]) -> str:
    if pool := resolution.get("pool"):
        return f"Runs on '{resolution['runtime']}', pool '{pool}'."
    if runtime := resolution.get("runtime"):
        return f"Waits for a pool that serves '{runtime}'. Start one: {resolution['deploy']}"
    return f"Nothing can run it: no runtime fits. {resolution.get('hint') or ''}".rstrip()
