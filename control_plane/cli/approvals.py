"""`holdfast approvals …`."""

import json
from typing import Annotated, Any
from uuid import UUID

import typer

from control_plane.cli.commands import command_group
from control_plane.cli.failures import usage_error
from control_plane.cli.options import CursorOption, Invocation, LimitOption, segment, with_api
from control_plane.cli.output import Output, ago, as_text, shortened, visible

COLUMNS = {
    "ID": "id",
    "AGENT": "agent_name",
    "KIND": "kind",
    "NAME": "name",
    "WHAT": "what",
    "STATUS": "status",
    "ASKED": "asked",
}
#: What an approval shows besides what is asked.
SHOWN = ("id", "execution_id", "agent_name", "kind", "name", "status", "decided_by", "note", "created_at", "expires_at")

ApprovalArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the approval, or how it begins.")]
NoteOption = Annotated[str, typer.Option("--note", help="For the model and for the log.")]


app = command_group("Decide what agents may do.")


@app.command("list")
@with_api
def list_(
    invocation: Invocation,
    status: Annotated[str | None, typer.Option("--status", help="pending if not said; all for every one.")] = None,
    execution: Annotated[str | None, typer.Option("--execution", help="Only of this execution.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="tool_call, outcome_unknown or budget.")] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
) -> None:
    """List what waits for a decision, the oldest first."""
    filters = {"status": status, "execution_id": execution, "kind": kind}
    page = invocation.api.get("/approvals", limit=limit, cursor=cursor, **filters)
    if invocation.printer.output is Output.TABLE:
        for item in page["items"]:
            item |= {"what": shortened(asked(item["detail"]), 80), "asked": ago(item["created_at"])}
    invocation.printer.page(page, COLUMNS)


@app.command("show")
@with_api
def show(invocation: Invocation, approval: ApprovalArgument) -> None:
    """Show one approval, with all of what is asked; what cannot be seen in it is made visible."""
    found = _find(invocation, approval)
    if invocation.printer.output is Output.TABLE:
        invocation.printer.record({name: found[name] for name in SHOWN} | {"what": asked(found["detail"], indent=2)})
    else:
        invocation.printer.document(found)


@app.command("approve")
@with_api
def approve(
    invocation: Invocation,
    approval: ApprovalArgument,
    note: NoteOption = "",
    limit: Annotated[float | None, typer.Option("--limit", help="What a budget's limit is raised to.")] = None,
) -> None:
    """Let the call run, or raise the limit (--limit)."""
    whole = int(limit) if limit is not None and limit.is_integer() else limit
    _decide(invocation, approval, "approve", {"note": note} if whole is None else {"note": note, "limit": whole})


@app.command("deny")
@with_api
def deny(invocation: Invocation, approval: ApprovalArgument, note: NoteOption = "") -> None:
    """Do not let the call run; the model is told so, with the note."""
    _decide(invocation, approval, "deny", {"note": note})


def asked(detail: dict[str, Any], indent: int | None = None) -> str:
    """What an approval is about, on one line or indented, with nothing hidden in it."""
    arguments = detail.get("arguments")
    if arguments is None:
        return visible(", ".join(f"{name} {as_text(value)}" for name, value in detail.items()))
    return visible(as_text(arguments) if indent is None else json.dumps(arguments, indent=indent, ensure_ascii=False))


def _decide(invocation: Invocation, given: str, verb: str, body: dict[str, Any]) -> None:
    found = _find(invocation, given)
    path = f"/approvals/{found['id']}/{verb}"
    decided = invocation.api.send("POST", path, body=body | {"digest": found["digest"]})
    invocation.printer.warnings(decided)
    if invocation.printer.output is Output.TABLE:
        what = shortened(asked(decided["detail"]))
        invocation.printer.note(f"{decided['status'].capitalize()}: {visible(decided['name'])} {what}")
    else:
        invocation.printer.document(decided)


def _find(invocation: Invocation, given: str) -> dict[str, Any]:
    """One approval, by its id or by how it begins.

    Raises:
        CliError: there is none, or there are several.
    """
    try:
        return invocation.api.get(f"/approvals/{UUID(given)}")
    except ValueError:
        path = segment(given)
    pending = invocation.api.get("/approvals", limit=200)["items"]
    found = [item for item in pending if item["id"].startswith(given.lower())]
    if len(found) > 1:
        raise usage_error(f"{len(found)} approvals begin with {given!r}.", hint="Give more of it.")
    return found[0] if found else invocation.api.get(f"/approvals/{path}")
