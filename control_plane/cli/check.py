"""`holdfast runtimes check`: the conformance suite, on this machine."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from control_plane.cli.failures import CliError, ExitCode, settings_error, usage_error
from control_plane.cli.options import Invocation, with_stack
from control_plane.cli.output import Output, Printer

if TYPE_CHECKING:
    from runtimes.registry import RuntimeRegistry
    from services.conformance.scenario import Scenario

COLUMNS = {"SCENARIO": "scenario", "WIRE": "wire", "OUTCOME": "outcome", "SECONDS": "seconds", "DETAIL": "detail"}
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the runtime.")]
FastOption = Annotated[bool, typer.Option("--fast", help="Leave out the scenarios that take long.")]
OnlyOption = Annotated[str, typer.Option("--only", metavar="TEXT", help="Only scenarios with this in their name.")]


@with_stack
def check(invocation: Invocation, name: NameArgument, only: OnlyOption = "", fast: FastOption = False) -> None:
    """Check a runtime that is installed here in every scenario; needs no running stack.

    Exit code 1 if a scenario failed, or none could be run.
    """
    from runtimes.errors import RuntimeUnknown

    registry = _registry(invocation)
    try:
        registry.manifest(name)
        results = asyncio.run(_results(invocation.printer, registry, name, _scenarios(only, fast=fast)))
    except RuntimeUnknown as unknown:
        raise CliError(unknown.message, exit_code=ExitCode.NOT_FOUND, code=unknown.code, hint=unknown.hint) from None
    if invocation.printer.output is Output.TABLE:
        invocation.printer.table(results, COLUMNS)
    elif invocation.printer.output is Output.JSON:
        invocation.printer.document({"results": results})
    outcomes = {result["outcome"] for result in results}
    if "failed" in outcomes or "passed" not in outcomes:
        raise typer.Exit(ExitCode.FAILED)


def _registry(invocation: Invocation) -> "RuntimeRegistry":
    from control_plane.frameworks import Frameworks
    from control_plane.settings import SettingsInvalid

    try:
        registry = Frameworks(invocation.settings.frameworks_file).registry
    except SettingsInvalid as invalid:
        raise settings_error(invalid) from None
    for broken in registry.broken:
        invocation.printer.note(f"Broken plugin '{broken.name}' ({broken.origin}): {broken.reason} {broken.hint}")
    return registry


def _scenarios(only: str, *, fast: bool) -> "Sequence[Scenario]":
    from services.conformance.suite import ALL

    found = [each for each in ALL if only.lower() in each.name.lower() and (each.fast or not fast)]
    if not found:
        names = ", ".join(scenario.name for scenario in ALL)
        raise usage_error(f"No scenario has '{only}' in its name.", hint=f"There are: {names}.")
    return found


async def _results(
    printer: Printer, registry: "RuntimeRegistry", name: str, scenarios: "Sequence[Scenario]"
) -> list[dict[str, Any]]:
    from services.conformance.suite import check as checked
    from services.conformance.suite import stand

    results: list[dict[str, Any]] = []
    async with stand(registry) as place:
        async for result in checked(place, name, scenarios):
            results.append(asdict(result))
            if printer.output is Output.JSONL:
                printer.document(results[-1])
            elif printer.output is Output.TABLE and result.outcome == "failed":
                printer.note(f"{result.scenario} ({result.wire}) failed: {result.detail}")
    return results
