"""`holdfast sessions …`."""

from typing import Annotated

import typer

from control_plane.cli.commands import command_group
from control_plane.cli.options import CursorOption, Invocation, LimitOption, YesOption, confirm, segment, with_api
from control_plane.cli.output import Output, ago

COLUMNS = {"ID": "id", "TITLE": "title", "AGENT": "agent_id", "UPDATED": "updated"}
SessionArgument = Annotated[str, typer.Argument(metavar="ID", parser=segment, help="Id of the session.")]


app = command_group("Look at conversations.")


@app.command("list")
@with_api
def list_(invocation: Invocation, limit: LimitOption = 20, cursor: CursorOption = None) -> None:
    """List sessions, the newest first."""
    page = invocation.api.get("/sessions", limit=limit, cursor=cursor)
    if invocation.printer.output is Output.TABLE:
        for item in page["items"]:
            item["updated"] = ago(item["updated_at"])
    invocation.printer.page(page, COLUMNS)


@app.command("get")
@with_api
def get(invocation: Invocation, session: SessionArgument) -> None:
    """Show one session."""
    invocation.printer.record(invocation.api.get(f"/sessions/{session}"))


@app.command("messages")
@with_api
def messages(
    invocation: Invocation, session: SessionArgument, limit: LimitOption = 50, cursor: CursorOption = None
) -> None:
    """Show a session's messages, the oldest first."""
    page = invocation.api.get(f"/sessions/{session}/messages", limit=limit, cursor=cursor)
    invocation.printer.page(page, {"ROLE": "role", "CONTENT": "content"})


@app.command("delete")
@with_api
def delete(invocation: Invocation, session: SessionArgument, yes: YesOption = False) -> None:
    """Delete a session with its messages and executions."""
    confirm(f"Delete the session {session} with all its executions?", yes=yes)
    invocation.api.send("DELETE", f"/sessions/{session}")
    invocation.printer.note(f"Deleted the session {session}.")
