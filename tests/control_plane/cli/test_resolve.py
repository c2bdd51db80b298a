"""`holdfast runtimes resolve`, and executions that wait for a pool."""

import json

from control_plane.cli.failures import ExitCode
from tests.control_plane.cli.conftest import Cli, execution_of

MODEL = ("--model", "scripted/scripted")


def test_a_decision_is_told_line_by_line_and_stays_with_the_execution(cli: Cli) -> None:
    cli("agents", "create", "cli-open", *MODEL, "--template", "generic-task")

    told = cli("runtimes", "resolve", "cli-open")
    ran = cli("run", "cli-open", "[[say hi]]")
    shown = cli("executions", "show", execution_of(cli, "cli-open"))

    taken = next(line for line in told.stdout.splitlines() if line.startswith("→"))
    assert taken.split()[1:3] == ["default", "template"]
    assert "Required: tools (template generic-task)\nRuns on 'default', pool 'default'." in told.stderr
    assert (ran.returncode, ran.stdout) == (ExitCode.OK, "hi\n")
    assert "taken, on pool default" in shown.stdout
    assert cli.json("runtimes", "resolve", "cli-open")["runtime"] == "default"


def test_an_execution_without_a_pool_is_listed_as_waiting_or_refused(cli: Cli) -> None:
    cli("agents", "create", "cli-homeless", *MODEL, "--runtime", "langgraph")

    refused = cli("run", "cli-homeless", "hi", "--if-no-pool", "fail", "-o", "json")
    started = cli("run", "cli-homeless", "hi", "--detach")
    execution = started.stdout.strip()
    listed = cli.json("executions", "list", "--status", "waiting_for_pool")["items"]
    logged = cli("executions", "logs", execution)
    cli("executions", "cancel", execution)

    assert (refused.returncode, json.loads(refused.stderr)["code"]) == (ExitCode.CONFLICT, "pool_missing")
    assert "holdfast worker --pool langgraph" in started.stderr
    assert execution in [each["id"] for each in listed]
    assert "execution.waiting_for_pool" in logged.stdout
