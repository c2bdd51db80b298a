"""`holdfast agents …`."""

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
from control_plane.cli.output import Output, ago

COLUMNS = {
    "ID": "id",
    "NAME": "name",
    "RUNTIME": "runtime",
    "TEMPLATE": "template",
    "MODEL": "model_id",
    "VERSION": "version",
    "UPDATED": "updated",
    "DESCRIPTION": "description",
}
CREATE = "holdfast agents create NAME --model PROVIDER/MODEL [--template TEMPLATE]"
AgentArgument = Annotated[str, typer.Argument(metavar="AGENT", parser=segment, help="Name or id of the agent.")]
DescriptionOption = Annotated[str | None, typer.Option("--description", help="What it is for.")]
RuntimeOption = Annotated[str | None, typer.Option("--runtime", help="The runtime that runs it.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="provider/model.")]
PromptOption = Annotated[str | None, typer.Option("--system-prompt", help="What it is told before everything else.")]
TemplateOption = Annotated[str | None, typer.Option("--template", help="Where what is left out comes from.")]


app = command_group("Define agents.")


@app.command("list")
@with_api
def list_(
    invocation: Invocation, runtime: RuntimeOption = None, limit: LimitOption = 50, cursor: CursorOption = None
) -> None:
    """List agents."""
    page = invocation.api.get("/agents", limit=limit, cursor=cursor, runtime=runtime)
    if invocation.printer.output is Output.TABLE:
        for item in page["items"]:
            item["updated"] = ago(item["updated_at"])
    invocation.printer.page(page, COLUMNS)


@app.command("get")
@with_api
def get(invocation: Invocation, agent: AgentArgument) -> None:
    """Show one agent."""
    invocation.printer.record(invocation.api.get(f"/agents/{agent}"))


@app.command("create")
@with_api
def create(
    invocation: Invocation,
    name: Annotated[str | None, typer.Argument(help="Name of the new agent.")] = None,
    description: DescriptionOption = None,
    template: TemplateOption = None,
    runtime: RuntimeOption = None,
    model: ModelOption = None,
    system_prompt: PromptOption = None,
    file: FileOption = None,
) -> None:
    """Create an agent from options, from a file, or from both (options win)."""
    given = {"name": name, "description": description, "template": template, "runtime": runtime}
    body = definition(file, given | {"model_id": model, "system_prompt": system_prompt})
    if "name" not in body or not body.keys() & {"model_id", "template"}:
        raise usage_error("An agent has a name and a model.", hint=f"{CREATE}, or --file with `name` and `model_id`")
    _show(invocation, invocation.api.send("POST", "/agents", body=body))


@app.command("update")
@with_api
def update(
    invocation: Invocation,
    agent: AgentArgument,
    name: Annotated[str | None, typer.Option("--name", help="A new name.")] = None,
    description: DescriptionOption = None,
    runtime: RuntimeOption = None,
    model: ModelOption = None,
    system_prompt: PromptOption = None,
    file: FileOption = None,
    if_version: Annotated[int | None, typer.Option("--if-version", help="Only if it still has this version.")] = None,
) -> None:
    """Change what is given; the rest stays."""
    given = {"name": name, "description": description, "runtime": runtime}
    body = definition(file, given | {"model_id": model, "system_prompt": system_prompt})
    if not body:
        raise usage_error("There is nothing to change.", hint="holdfast agents update --help")
    headers = {"If-Match": f'"{if_version}"'} if if_version is not None else None
    _show(invocation, invocation.api.send("PATCH", f"/agents/{agent}", body=body, headers=headers))


@app.command("delete")
@with_api
def delete(invocation: Invocation, agent: AgentArgument, yes: YesOption = False) -> None:
    """Delete an agent."""
    confirm(f"Delete the agent {agent}?", yes=yes)
    invocation.api.send("DELETE", f"/agents/{agent}")
    invocation.printer.note(f"Deleted the agent {agent}.")


def _show(invocation: Invocation, agent: dict[str, Any]) -> None:
    invocation.printer.warnings(agent)
    invocation.printer.record(agent)
