"""`holdfast keys …`."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from control_plane.cli.commands import command_group
from control_plane.cli.options import CursorOption, Invocation, LimitOption, segment, with_api
from control_plane.cli.output import Output

COLUMNS = {
    "ID": "id",
    "NAME": "name",
    "PREFIX": "prefix",
    "SCOPES": "scopes",
    "CREATED": "created_at",
    "EXPIRES": "expires_at",
    "REVOKED": "revoked_at",
}
KeyArgument = Annotated[str, typer.Argument(metavar="ID", parser=segment, help="Id of the key.")]


app = command_group("Manage API keys.")


@app.command("create")
@with_api
def create(
    invocation: Invocation,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[list[str], typer.Option("--scope", help="read, write, admin or worker; may be repeated.")],
    days: Annotated[int | None, typer.Option("--days", min=1, help="Days until it expires.")] = None,
) -> None:
    """Create a key; its text is shown this once only."""
    expires_at = (datetime.now(UTC) + timedelta(days=days)).isoformat() if days else None
    body = {"name": name, "scopes": scope} | ({"expires_at": expires_at} if expires_at else {})
    key = invocation.api.send("POST", "/keys", body=body)
    if invocation.printer.output is Output.TABLE:
        invocation.printer.text(f"{key['key']}\n")
        invocation.printer.note(f"Keep it now: it is not shown again. Id: {key['id']}")
    else:
        invocation.printer.document(key)


@app.command("list")
@with_api
def list_(invocation: Invocation, limit: LimitOption = 50, cursor: CursorOption = None) -> None:
    """List keys; their text is not stored."""
    invocation.printer.page(invocation.api.get("/keys", limit=limit, cursor=cursor), COLUMNS)


@app.command("revoke")
@with_api
def revoke(invocation: Invocation, key: KeyArgument) -> None:
    """Revoke a key at once."""
    invocation.api.send("DELETE", f"/keys/{key}")
    invocation.printer.note(f"Revoked the key {key}.")
