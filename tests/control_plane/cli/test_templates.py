"""`holdfast templates …`, and agents from templates."""

import json

from control_plane.cli.failures import ExitCode
from tests.control_plane.cli.conftest import Cli


def test_a_template_is_made_from_options_and_a_file_and_an_agent_from_it(cli: Cli) -> None:
    defaults = {"defaults": {"model_id": "scripted/scripted", "system_prompt": "Be short."}}
    options = ("--type", "conversation", "--prefer", "native", "--prefer", "default", "--require", "tools")

    made = cli("templates", "create", "cli-desk", *options, "-f", "-", "-o", "json", stdin=json.dumps(defaults))
    agent = cli.json("agents", "create", "cli-desk-agent", "--template", "cli-desk")
    changed = cli.json("templates", "update", "cli-desk", "--title", "Desk")

    assert made.returncode == ExitCode.OK
    assert json.loads(made.stdout)["preferred_runtimes"] == ["native", "default"]
    assert (agent["template"], agent["system_prompt"]) == ("cli-desk", "Be short.")
    assert (changed["title"], cli.json("templates", "show", "cli-desk")) == ("Desk", changed)


def test_a_built_in_template_is_shown_and_not_deleted(cli: Cli) -> None:
    shown = cli.json("templates", "show", "chat-assistant")
    deleted = cli("templates", "delete", "chat-assistant")

    assert shown["built_in"]
    assert deleted.returncode == ExitCode.CONFLICT
    assert "The template 'chat-assistant' is built in." in deleted.stderr


def test_a_template_without_a_type_is_refused_before_anybody_is_asked(cli: Cli) -> None:
    done = cli("templates", "create", "cli-shapeless")

    assert done.returncode == ExitCode.USAGE
    assert "holdfast templates create NAME --type conversation|task|custom" in done.stderr
