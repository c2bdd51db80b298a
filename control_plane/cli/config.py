"""`holdfast config …`."""

from typing import TYPE_CHECKING, Annotated

import typer

from control_plane.cli.commands import command_group
from control_plane.cli.failures import settings_error, usage_error
from control_plane.cli.options import Invocation, with_api

if TYPE_CHECKING:
    from control_plane.explanations import Explanation

COLUMNS = {"KEY": "key", "VALUE": "value", "ORIGIN": "origin"}
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="A setting, or a key of the frameworks file.")]

app = command_group("Look at settings, and where they come from.")


@app.command("list")
@with_api
def list_settings(invocation: Invocation) -> None:
    """List every setting and every key of the frameworks file, with value and origin; secrets are hidden."""
    items = [explanation._asdict() for explanation in _explanations(invocation)]
    invocation.printer.page({"items": items}, COLUMNS)


@app.command("explain")
@with_api
def explain(invocation: Invocation, key: KeyArgument) -> None:
    """Say what a setting is and where its value comes from."""
    from runtimes.meant import meant

    found = {explanation.key: explanation for explanation in _explanations(invocation)}
    if key not in found:
        hint = meant(key, found) or "See: holdfast config list"
        raise usage_error(f"There is no setting '{key}'.", hint=hint)
    invocation.printer.record(found[key]._asdict())


def _explanations(invocation: Invocation) -> "list[Explanation]":
    from control_plane.explanations import Explanations
    from control_plane.frameworks import Frameworks
    from control_plane.settings import SettingsInvalid

    settings = invocation.settings
    try:
        frameworks = Frameworks(settings.frameworks_file)
    except SettingsInvalid as invalid:
        raise settings_error(invalid) from None
    return Explanations(settings, frameworks, invocation.given).all()
