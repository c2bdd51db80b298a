"""`holdfast templates …`."""

from typing import Annotated, Any

import typer

from control_plane.cli.commands import command_group
from control_plane.cli.definitions import FileOption, definition
from control_plane.cli.failures import usage_error
from control_plane.cli.options import (
    CursorOption,
    Invocation,
    LimitOption,
    YesOption,
    confirm,
    segment,
    with_api,
)

COLUMNS = {
    "NAME": "name",
    "TYPE": "type",
    "BUILT IN": "built_in",
    "RUNTIMES": "preferred_runtimes",
    "REQUIRES": "required_capabilities",
    "TITLE": "title",
}
CREATE = "holdfast templates create NAME --type conversation|task|custom"
TemplateArgument = Annotated[str, typer.Argument(metavar="TEMPLATE", parser=segment, help="Name of the template.")]
TypeOption = Annotated[str | None, typer.Option("--type", help="conversation, task or custom.")]
TitleOption = Annotated[str | None, typer.Option("--title", help="What it is called.")]
DescriptionOption = Annotated[str | None, typer.Option("--description", help="What it is for.")]
PreferOption = Annotated[
    list[str] | None, typer.Option("--prefer", help="A runtime that suits it, the best first; may be repeated.")
]
RequireOption = Annotated[
    list[str] | None, typer.Option("--require", help="A capability that its runtime must have; may be repeated.")
]


app = command_group("Define templates, which agents are made from.")


@app.command("list")
@with_api
def list_(
    invocation: Invocation, kind: TypeOption = None, limit: LimitOption = 50, cursor: CursorOption = None
) -> None:
    """List templates, the built-in ones too."""
    invocation.printer.page(invocation.api.get("/templates", limit=limit, cursor=cursor, type=kind), COLUMNS)


@app.command("show")
@with_api
def show(invocation: Invocation, template: TemplateArgument) -> None:
    """Show one template, with what its agents begin with."""
    invocation.printer.record(invocation.api.get(f"/templates/{template}"))


@app.command("create")
@with_api
def create(
    invocation: Invocation,
    name: Annotated[str | None, typer.Argument(help="Name of the new template.")] = None,
    kind: TypeOption = None,
    title: TitleOption = None,
    description: DescriptionOption = None,
    prefer: PreferOption = None,
    require: RequireOption = None,
    file: FileOption = None,
) -> None:
    """Create a template from options, from a file, or from both (options win)."""
    body = definition(file, {"name": name} | _fields(kind, title, description, prefer, require))
    if not body.keys() >= {"name", "type"}:
        raise usage_error("A template has a name and a type.", hint=f"{CREATE}, or --file with `name` and `type`")
    _show(invocation, invocation.api.send("POST", "/templates", body=body))


@app.command("update")
@with_api
def update(
    invocation: Invocation,
    template: TemplateArgument,
    kind: TypeOption = None,
    title: TitleOption = None,
    description: DescriptionOption = None,
    prefer: PreferOption = None,
    require: RequireOption = None,
    file: FileOption = None,
) -> None:
    """Change what is given; the rest stays, and so do agents that were made from it."""
    body = definition(file, _fields(kind, title, description, prefer, require))
    if not body:
        raise usage_error("There is nothing to change.", hint="holdfast templates update --help")
    _show(invocation, invocation.api.send("PATCH", f"/templates/{template}", body=body))


@app.command("delete")
@with_api
def delete(invocation: Invocation, template: TemplateArgument, yes: YesOption = False) -> None:
    """Delete a template that no agent was made from."""
    confirm(f"Delete the template {template}?", yes=yes)
    invocation.api.send("DELETE", f"/templates/{template}")
    invocation.printer.note(f"Deleted the template {template}.")


def _show(invocation: Invocation, template: dict[str, Any]) -> None:
    invocation.printer.warnings(template)
    invocation.printer.record(template)


def _fields(
    kind: str | None,
    title: str | None,
    description: str | None,
    prefer: list[str] | None,
    require: list[str] | None,
) -> dict[str, Any]:
    given = {"type": kind, "title": title, "description": description}
    return given | {"preferred_runtimes": prefer, "required_capabilities": require}
