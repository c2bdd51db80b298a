"""`holdfast runtimes check`: the conformance suite, on this machine."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from control_plane.cli.failures import CliError, ExitCode, usage_error
from control_plane.cli.options import Invocation, with_output
from control_plane.cli.output import Output, Printer

if TYPE_CHECKING:
    from services.conformance.scenario import Scenario

COLUMNS = {"SCENARIO": "scenario", "WIRE": "wire", "OUTCOME": "outcome", "SECONDS": "seconds", "DETAIL": "detail"}
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the runtime.")]
OnlyOption = Annotated[str, typer.Option("--only", metavar="TEXT", help="Only scenarios with this in their name.")]


@with_output
def check(invocation: Invocation, name: NameArgument, only: OnlyOption = "") -> None:
    """Check a runtime that is installed here in every scenario; needs no running stack.

    Exit code 1 if a scenario failed, or none could be run.
    """
    from runtimes.errors import RuntimeUnknown
    from runtimes.manifests.known import KNOWN, manifest_of

    try:
        manifest_of(name, KNOWN)
        results = asyncio.run(_results(invocation.printer, name, _scenarios(only)))
    except RuntimeUnknown as unknown:
        raise CliError(unknown.message, exit_code=ExitCode.NOT_FOUND, code=unknown.code, hint=unknown.hint) from None
    if invocation.printer.output is Output.TABLE:
        invocation.printer.table(results, COLUMNS)
    elif invocation.printer.output is Output.JSON:
        invocation.printer.document({"results": results})
    outcomes = {result["outcome"] for result in results}
    if "failed" in outcomes or "passed" not in outcomes:
        raise typer.Exit(ExitCode.FAILED)


def _scenarios(only: str) -> "Sequence[Scenario]":
    from services.conformance.suite import ALL

    found = [scenario for scenario in ALL if only.lower() in scenario.name.lower()]
    if not found:
        names = ", ".join(scenario.name for scenario in ALL)
        raise usage_error(f"No scenario has '{only}' in its name.", hint=f"There are: {names}.")
    return found


async def _results(printer: Printer, name: str, scenarios: "Sequence[Scenario]") -> list[dict[str, Any]]:
    from services.conformance.suite import check as checked
    from services.conformance.suite import stand

    results: list[dict[str, Any]] = []
    async with stand() as place:
        async for result in checked(place, name, scenarios):
            results.append(asdict(result))
            if printer.output is Output.JSONL:
                printer.document(results[-1])
            elif printer.output is Output.TABLE and result.outcome == "failed":
                printer.note(f"{result.scenario} ({result.wire}) failed: {result.detail}")
    return results
