"""`holdfast runtimes check`: the conformance suite, on this machine."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import indent
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from control_plane.cli.aside import Aside, output_aside
from control_plane.cli.failures import CliError, ExitCode, settings_error, usage_error
from control_plane.cli.options import Invocation, with_stack
from control_plane.cli.output import Output, Printer

if TYPE_CHECKING:
    from runtimes.plugins import Candidate, Missing
    from runtimes.registry import RuntimeRegistry
    from services.conformance.scenario import Scenario

COLUMNS = {"SCENARIO": "scenario", "WIRE": "wire", "OUTCOME": "outcome", "SECONDS": "seconds", "DETAIL": "detail"}
OUTCOMES = ("passed", "failed", "skipped")
NameArgument = Annotated[str, typer.Argument(metavar="NAME|PATH", help="Name of a runtime, or a plugin's directory.")]
FastOption = Annotated[bool, typer.Option("--fast", help="Leave out the scenarios that take long.")]
OnlyOption = Annotated[str, typer.Option("--only", metavar="TEXT", help="Only scenarios with this in their name.")]


@with_stack
def check(invocation: Invocation, name: NameArgument, only: OnlyOption = "", fast: FastOption = False) -> None:
    """Check a runtime that is installed here, or a plugin's directory, in every scenario; needs no running stack.

    Exit code 1 if a scenario failed, or none could be run.
    """
    scenarios = _scenarios(only, fast=fast)
    registry, names = _checked(invocation, name)
    began = perf_counter()
    with output_aside(invocation.printer.output, names[0]) as aside:
        printer = aside.printer
        _tell_unknown_scenarios(printer, registry, names)
        results = asyncio.run(_results(printer, registry, names, scenarios))
        _tell(aside, names, results, perf_counter() - began)
    outcomes = {result["outcome"] for result in results}
    if "failed" in outcomes or "passed" not in outcomes:
        raise typer.Exit(ExitCode.FAILED)


def _tell(aside: Aside, names: Sequence[str], results: list[dict[str, Any]], seconds: float) -> None:
    """Show what came of it, and where the rest was written."""
    printer, counts = aside.printer, Counter(result["outcome"] for result in results)
    summary = {outcome: counts[outcome] for outcome in OUTCOMES}
    if printer.output is Output.TABLE:
        printer.table(results, COLUMNS)
        told = ", ".join(f"{count} {outcome}" for outcome, count in summary.items())
        printer.note(f"{', '.join(names)}: {told}, in {seconds:.1f} s.")
    elif printer.output is Output.JSON:
        printer.document({"results": results, "summary": summary, "output": aside.written})
    if aside.written:
        printer.note(f"What the framework wrote is in {aside.written}.")


def _checked(invocation: Invocation, name: str) -> "tuple[RuntimeRegistry, list[str]]":
    """Find the manifests that are known here, and the names of the runtimes to check."""
    from control_plane.frameworks import Frameworks
    from control_plane.settings import SettingsInvalid
    from runtimes.errors import RuntimeUnknown
    from runtimes.plugins import candidates

    try:
        frameworks = Frameworks(invocation.settings.frameworks_file)
    except SettingsInvalid as invalid:
        raise settings_error(invalid) from None
    registry = frameworks.registry
    if is_path(name):
        names = list(_of_project(registry, Path(name)))
        if not names:
            raise usage_error(f"There is no plugin in {name}.", hint="See docs/plugins.md.")
        return registry, names
    for broken in registry.broken:
        invocation.printer.note(f"Broken plugin '{broken.name}' ({broken.origin}): {broken.reason} {broken.hint}")
    try:
        registry.manifest(name)
    except RuntimeUnknown as unknown:
        for candidate in candidates(frameworks.config.discovery):
            if candidate.name == name:
                _require_usable(candidate)
        raise CliError(unknown.message, exit_code=ExitCode.NOT_FOUND, code=unknown.code, hint=unknown.hint) from None
    return registry, [name]


def is_path(name: str) -> bool:
    """Whether a directory is meant: no runtime's name has these characters."""
    return "/" in name or name in {".", ".."}


def _of_project(registry: "RuntimeRegistry", directory: Path) -> Iterator[str]:
    """Take the plugins in a directory in; gives the names of their runtimes."""
    from runtimes.plugins import in_project

    for candidate in in_project(directory.absolute()):
        found = _require_usable(candidate)
        registry.add(candidate)
        for broken in registry.broken:
            if broken.origin == candidate.origin:
                raise CliError(broken.reason, exit_code=ExitCode.FAILED, code="plugin_broken", hint=broken.hint)
        yield found


def _require_usable(candidate: "Candidate | Missing") -> str:
    """The name in a plugin's manifest.

    Raises:
        CliError: the plugin cannot be used; with the trace of what it raised.
    """
    import traceback

    from runtimes.errors import ConfigurationInvalid

    try:
        return candidate.manifest().name
    except ConfigurationInvalid as invalid:
        cause = invalid.__cause__
        trace = "".join(["\n", *traceback.format_exception(cause)]).rstrip() if cause else ""
        text = f"The plugin '{candidate.name}' ({candidate.origin}) cannot be used: {invalid.message}{trace}"
        raise CliError(text, exit_code=ExitCode.FAILED, code="plugin_broken", hint=invalid.hint) from None


def _scenarios(only: str, *, fast: bool) -> "Sequence[Scenario]":
    from services.conformance.suite import ALL

    found = [each for each in ALL if only.lower() in each.name.lower() and (each.fast or not fast)]
    if not found:
        names = ", ".join(scenario.name for scenario in ALL)
        raise usage_error(f"No scenario has '{only}' in its name.", hint=f"There are: {names}.")
    return found


def _tell_unknown_scenarios(printer: Printer, registry: "RuntimeRegistry", names: Sequence[str]) -> None:
    from runtimes.meant import meant
    from services.conformance.suite import ALL

    known = [scenario.name for scenario in ALL]
    for name in names:
        for scenario in registry.manifest(name).differs:
            if scenario not in known:
                text = f"The manifest of '{name}' differs in '{scenario}', which is no scenario."
                printer.note(f"{text} {meant(scenario, known)}".rstrip())


async def _results(
    printer: Printer, registry: "RuntimeRegistry", names: Sequence[str], scenarios: "Sequence[Scenario]"
) -> list[dict[str, Any]]:
    from services.conformance.suite import check as checked
    from services.conformance.suite import stand

    results: list[dict[str, Any]] = []
    async with stand(registry) as place:
        for name in names:
            async for result in checked(place, name, scenarios):
                results.append(asdict(result))
                if printer.output is Output.JSONL:
                    printer.document(results[-1])
                elif printer.output is Output.TABLE and result.outcome == "failed":
                    trace = f"\n{indent(result.trace, '    ')}" if result.trace else ""
                    printer.note(f"{result.scenario} ({result.wire}) failed: {result.detail}{trace}")
    return results
