"""`holdfast executions …`."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, cast
from uuid import UUID

import typer

from control_plane.cli.commands import command_group
from control_plane.cli.failures import BY_EXECUTION, CliError, ExitCode
from control_plane.cli.options import CursorOption, Invocation, LimitOption, segment, with_api
from control_plane.cli.output import Output, ago
from control_plane.cli.resolve import show_resolution

COLUMNS = {
    "ID": "id",
    "AGENT": "agent_name",
    "STATUS": "status",
    "RUNTIME": "runtime",
    "ATTEMPT": "attempt",
    "CREATED": "created",
    "SECONDS": "seconds",
}
STEP_COLUMNS = {
    "TURN": "turn",
    "#": "ordinal",
    "KIND": "kind",
    "NAME": "name",
    "STATUS": "status",
    "ATTEMPT": "attempt",
    "TOKENS": "tokens",
    "COST": "cost",
    "SECONDS": "seconds",
}
ExecutionArgument = Annotated[str, typer.Argument(metavar="ID", parser=segment, help="Id of the execution.")]


app = command_group("Look at executions and steer them.")


@app.command("list")
@with_api
def list_(
    invocation: Invocation,
    status: Annotated[str | None, typer.Option("--status", help="Only in this status.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only of this agent (name or id).")] = None,
    session: Annotated[str | None, typer.Option("--session", help="Only of this session.")] = None,
    runtime: Annotated[str | None, typer.Option("--runtime", help="Only on this runtime.")] = None,
    limit: LimitOption = 20,
    cursor: CursorOption = None,
) -> None:
    """List executions, the newest first."""
    from control_plane.cli.watch import duration

    agent_id = _agent_id(invocation, agent) if agent else None
    filters = {"status": status, "agent_id": agent_id, "session_id": session, "runtime": runtime}
    page = invocation.api.get("/executions", limit=limit, cursor=cursor, **filters)
    if invocation.printer.output is Output.TABLE:
        for item in page["items"]:
            seconds = duration(item)
            item |= {"created": ago(item["created_at"]), "seconds": f"{seconds:.1f}" if seconds is not None else None}
    invocation.printer.page(page, COLUMNS)


@app.command("show", hidden=True)
@app.command("get")
@with_api
def get(invocation: Invocation, execution: ExecutionArgument) -> None:
    """Show one execution, and how its runtime was chosen."""
    found = invocation.api.get(f"/executions/{execution}")
    if invocation.printer.output is not Output.TABLE:
        invocation.printer.document(found)
        return
    resolution = found.pop("resolution")
    invocation.printer.record(found)
    if resolution:
        show_resolution(invocation.printer, resolution)


@app.command("logs")
@with_api
def logs(
    invocation: Invocation,
    execution: ExecutionArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the execution ends.")] = False,
    after: Annotated[int, typer.Option("--after", min=0, help="Only events after this number.")] = 0,
) -> None:
    """Show the event log."""
    from control_plane.cli.watch import Watch

    raise typer.Exit(Watch(invocation, execution, after=str(after), follow=follow).log())


@app.command("steps")
@with_api
def steps(
    invocation: Invocation, execution: ExecutionArgument, limit: LimitOption = 50, cursor: CursorOption = None
) -> None:
    """List the model calls and tool calls, in their order."""
    page = invocation.api.get(f"/executions/{execution}/steps", limit=limit, cursor=cursor)
    if invocation.printer.output is Output.TABLE:
        for item in page["items"]:
            item.update(_figures(item))
    invocation.printer.page(page, STEP_COLUMNS)


@app.command("step")
@with_api
def step(
    invocation: Invocation,
    execution: ExecutionArgument,
    turn: Annotated[int, typer.Argument(min=1, help="Number of the turn.")],
    ordinal: Annotated[int, typer.Argument(min=1, help="Number of the step in its turn.")],
) -> None:
    """Show one step, with what was sent and what was answered."""
    invocation.printer.record(invocation.api.get(f"/executions/{execution}/steps/{turn}/{ordinal}"))


@app.command("metrics")
@with_api
def metrics(invocation: Invocation, execution: ExecutionArgument) -> None:
    """Show what an execution took: time, attempts, model calls, tool calls, tokens, cost, errors."""
    found = invocation.api.get(f"/executions/{execution}/metrics")
    table = invocation.printer.output is Output.TABLE
    invocation.printer.record(dict(_flat(found)) if table else found)


@app.command("cancel")
@with_api
def cancel(invocation: Invocation, execution: ExecutionArgument) -> None:
    """Cancel an execution."""
    _ask(invocation, execution, "cancel", "is being cancelled")


@app.command("interrupt")
@with_api
def interrupt(invocation: Invocation, execution: ExecutionArgument) -> None:
    """End the running turn; the execution stays."""
    _ask(invocation, execution, "interrupt", "is being interrupted")


@app.command("close")
@with_api
def close(invocation: Invocation, execution: ExecutionArgument) -> None:
    """Let an interactive execution end after its running turn."""
    _ask(invocation, execution, "close", "is being closed")


@app.command("send")
@with_api
def send(
    invocation: Invocation,
    execution: ExecutionArgument,
    message: Annotated[str, typer.Argument(help="The message.")],
) -> None:
    """Send a message to an interactive execution."""
    receipt = invocation.api.send("POST", f"/executions/{execution}/messages", body={"content": message})
    _show(invocation, receipt, f"Queued. See the answer with: holdfast executions logs -f {execution}")


@app.command("result")
@with_api
def result(
    invocation: Invocation,
    execution: ExecutionArgument,
    wait: Annotated[int, typer.Option("--wait", min=0, help="Seconds to wait for the end.")] = 0,
) -> None:
    """Show the result. Exit code 10 while there is none."""
    from control_plane.cli.waiting import await_result

    found = await_result(invocation.api, execution, wait, say=invocation.printer.note)
    if "response" not in found:
        raise CliError(
            f"The execution is {found['status']}: it has no result yet.",
            exit_code=ExitCode.PARTIAL,
            code="no_result_yet",
            hint=f"Wait with --wait SECONDS, or watch it: holdfast executions logs -f {execution}",
        )
    if invocation.printer.output is Output.TABLE:
        invocation.printer.text(_shown(found))
    else:
        invocation.printer.document(found)
    raise typer.Exit(_result_code(invocation, execution, found))


def _shown(found: dict[str, Any]) -> str:
    output = found.get("output")
    text = found["response"] if output is None else json.dumps(output, indent=2, ensure_ascii=False)
    return f"{text}\n" if text else ""


def _figures(step: dict[str, Any]) -> dict[str, Any]:
    """Tokens, cost and seconds of a step; `?` is a cost that is not known."""
    usage, seconds = step["usage"], step["timings"].get("total")
    cost = usage["cost_usd"]
    return {
        "tokens": usage["input_tokens"] + usage["output_tokens"] or None,
        "cost": "?" if cost is None else f"${cost:.4f}" if cost else None,
        "seconds": None if seconds is None else f"{seconds:.2f}",
    }


def _flat(found: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Nested figures, each on a line of its own; seconds to the millisecond."""
    for name, value in found.items():
        if isinstance(value, dict):
            yield from _flat(cast("dict[str, Any]", value), f"{before}{name}.")
        else:
            yield f"{before}{name}", round(value, 3) if isinstance(value, float) and "cost" not in name else value


def _agent_id(invocation: Invocation, agent: str) -> str:
    try:
        return str(UUID(agent))
    except ValueError:
        return invocation.api.get(f"/agents/{segment(agent)}")["id"]


def _result_code(invocation: Invocation, execution: str, found: dict[str, Any]) -> ExitCode:
    if found["success"]:
        return ExitCode.OK
    if error := found.get("error"):
        invocation.printer.note(f"{error['code']}: {error['message']}")
    return BY_EXECUTION.get(invocation.api.get(f"/executions/{execution}")["status"], ExitCode.FAILED)


def _ask(invocation: Invocation, execution: str, verb: str, outcome: str) -> None:
    _show(invocation, invocation.api.send("POST", f"/executions/{execution}/{verb}"), f"The execution {outcome}.")


def _show(invocation: Invocation, document: dict[str, Any], sentence: str) -> None:
    if invocation.printer.output is Output.TABLE:
        invocation.printer.note(sentence)
    else:
        invocation.printer.document(document)
