"""`holdfast secrets …`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from control_plane.cli.commands import command_group
from control_plane.cli.failures import usage_error
from control_plane.cli.files import read_text
from control_plane.cli.options import CursorOption, Invocation, LimitOption, YesOption, confirm, segment, with_api

COLUMNS = {
    "NAME": "name",
    "VERSION": "version",
    "MOVED": "moved",
    "CREATED": "created_at",
    "UPDATED": "updated_at",
}
NameArgument = Annotated[str, typer.Argument(metavar="NAME", parser=segment, help="Name of the secret.")]


app = command_group("Keep secrets that agents refer to.")


@app.command("set")
@with_api
def set_(
    invocation: Invocation,
    name: NameArgument,
    file: Annotated[Path | None, typer.Option("--from-file", help="A file with the value.")] = None,
) -> None:
    """Store a secret, or give it another value; asks for it, or reads it from stdin. It is shown nowhere."""
    secret = invocation.api.send("PUT", f"/secrets/{name}", body={"value": _value(name, file)})
    invocation.printer.record(secret, [name for name in secret if name != "warnings"])
    invocation.printer.warnings(secret)


@app.command("list")
@with_api
def list_(invocation: Invocation, limit: LimitOption = 50, cursor: CursorOption = None) -> None:
    """List secrets; their values are shown nowhere."""
    invocation.printer.page(invocation.api.get("/secrets", limit=limit, cursor=cursor), COLUMNS)


@app.command("delete")
@with_api
def delete(invocation: Invocation, name: NameArgument, yes: YesOption = False) -> None:
    """Delete a secret that nothing refers to."""
    confirm(f"Delete the secret {name}?", yes=yes)
    invocation.api.send("DELETE", f"/secrets/{name}")
    invocation.printer.note(f"Deleted the secret {name}.")


def _value(name: str, file: Path | None) -> str:
    """The value without the line's end that editors and `echo` put behind it."""
    text = _asked(name) if file is None else read_text(file)
    value = text.removesuffix("\n").removesuffix("\r")
    if not value:
        raise usage_error("The value is empty.", hint=f"holdfast secrets set {name} --from-file FILE")
    return value


def _asked(name: str) -> str:
    if sys.stdin.isatty():
        return typer.prompt(f"Value of {name}", hide_input=True, err=True)
    return read_text(Path("-"))
