"""`holdfast run`: ask an agent and see its answer."""

import sys
from pathlib import Path
from shlex import quote
from typing import Annotated, Any
from uuid import uuid4

import typer

from control_plane.cli.failures import ExitCode, usage_error
from control_plane.cli.files import read_json
from control_plane.cli.options import Invocation, with_api
from control_plane.cli.output import Output

MetadataOption = Annotated[list[str] | None, typer.Option("--metadata", "-m", help="key=value, may be repeated.")]

BudgetOption = Annotated[
    str | None, typer.Option("--budget", help="Limits: tokens=1000,cost_usd=0.5,model_calls=…,tool_calls=…,seconds=…")
]
NoPoolOption = Annotated[
    str | None, typer.Option("--if-no-pool", help="wait or fail, where no live pool can run it.", metavar="wait|fail")
]
ConcurrencyOption = Annotated[
    str | None,
    typer.Option(
        "--session-concurrency",
        help="While the session has an execution that has not ended: queue, reject or parallel.",
        metavar="queue|reject|parallel",
    ),
]
SchemaOption = Annotated[Path | None, typer.Option("--output-schema", help="File with the answer's JSON schema.")]


PriorityOption = Annotated[int | None, typer.Option("--priority", min=1, max=5, help="1 goes first, 5 last; else 3.")]


@with_api
def run(
    invocation: Invocation,
    agent: Annotated[str, typer.Argument(help="Name or id of the agent.")],
    prompt: Annotated[str, typer.Argument(help="What to ask; - reads it from stdin.")],
    session: Annotated[str | None, typer.Option("--session", help="Go on with this session.")] = None,
    runtime: Annotated[str | None, typer.Option("--runtime", help="Another runtime than the agent's.")] = None,
    interactive: Annotated[bool, typer.Option("--interactive", "-i", help="Stay open for more messages.")] = False,
    metadata: MetadataOption = None,
    priority: PriorityOption = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Print the execution's id and leave.")] = False,
    if_no_pool: NoPoolOption = None,
    session_concurrency: ConcurrencyOption = None,
    budget: BudgetOption = None,
    output_schema: SchemaOption = None,
    idempotency_key: Annotated[str | None, typer.Option("--idempotency-key", help="Same key, same execution.")] = None,
) -> None:
    """Ask an agent; the answer streams to stdout."""
    from control_plane.cli.watch import Watch

    request: dict[str, Any] = {
        "agent_id": agent,
        "prompt": _stdin() if prompt == "-" else prompt,
        "session_id": session,
        "runtime": runtime,
        "interactive": interactive,
        "metadata": _pairs(metadata or []),
        "priority": priority,
        "if_no_pool": if_no_pool,
        "session_concurrency": session_concurrency,
    }
    if budget:
        request["budget"] = _limits(budget)
    if output_schema is not None:
        request["output_schema"] = read_json(output_schema)
    execution = _create(invocation, request, idempotency_key)
    if detach:
        _show_started(invocation, execution)
        return
    code = Watch(invocation, execution["id"]).answer(until_waiting=interactive)
    if code is ExitCode.PARTIAL and invocation.printer.output is Output.TABLE:
        code = _go_on(invocation, execution["id"])
    raise typer.Exit(code)


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise usage_error("What came from stdin is not UTF-8.") from error


def _create(invocation: Invocation, request: dict[str, Any], idempotency_key: str | None) -> dict[str, Any]:
    body = {name: value for name, value in request.items() if value not in (None, False, {})}
    key = str(uuid4()) if idempotency_key is None else idempotency_key
    say = invocation.printer.note
    try:
        execution = invocation.api.send_for_sure(
            "POST", "/executions", body=body, headers={"Idempotency-Key": key}, say=say
        )
    except KeyboardInterrupt:
        say(_how_to_find(request["agent_id"], key))
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    invocation.printer.warnings(execution)
    return execution


def _show_started(invocation: Invocation, execution: dict[str, Any]) -> None:
    if invocation.printer.output is Output.TABLE:
        invocation.printer.text(execution["id"] + "\n")
        invocation.printer.note(f"Watch it with: holdfast executions logs -f {execution['id']}")
    else:
        invocation.printer.document(execution)


def _go_on(invocation: Invocation, execution_id: str) -> ExitCode:
    """Talk until the end with whoever sits at stdin; say how else it goes on."""
    code = ExitCode.PARTIAL
    if sys.stdin.isatty():
        invocation.printer.note("Type the next message; an empty line ends the execution.")
        while code is ExitCode.PARTIAL:
            code = _next_turn(invocation, execution_id)
    else:
        invocation.printer.note(_how_to_go_on(execution_id))
    return code


def _next_turn(invocation: Invocation, execution_id: str) -> ExitCode:
    """Read one message and show its answer; an empty one closes the execution."""
    from control_plane.cli.watch import Watch

    last_seq = invocation.api.get(f"/executions/{execution_id}")["last_seq"]
    if message := _ask():
        invocation.api.send("POST", f"/executions/{execution_id}/messages", body={"content": message})
    else:
        invocation.api.send("POST", f"/executions/{execution_id}/close")
    watch = Watch(invocation, execution_id, after=str(last_seq), prompts=False)
    return watch.answer(until_waiting=bool(message))


def _ask() -> str:
    """One line; empty at Ctrl-C and at the end of stdin."""
    try:
        sys.stderr.write("> ")
        sys.stderr.flush()
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        line = ""
    if not line.endswith("\n"):
        sys.stderr.write("\n")
    return line.strip()


def _how_to_find(agent: str, key: str) -> str:
    return (
        "The API may have accepted the execution, or not.\n"
        f"  look for it:    holdfast executions list --agent {quote(agent)}\n"
        f"  the same again: add --idempotency-key {quote(key)}"
    )


def _how_to_go_on(execution_id: str) -> str:
    return (
        "It waits for a message.\n"
        f'  send one:  holdfast executions send {execution_id} "…"\n'
        f"  end it:    holdfast executions close {execution_id}"
    )


def _limits(text: str) -> dict[str, float]:
    pairs = [pair.partition("=") for pair in text.split(",")]
    try:
        return {name.strip(): int(value) if value.strip().isdigit() else float(value) for name, _, value in pairs}
    except ValueError:
        raise usage_error(f"--budget wants limits like tokens=1000,cost_usd=0.5, not {text!r}.") from None


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if bad := [key for key, sign, _ in pairs if not (key and sign)]:
        raise usage_error(f"--metadata wants key=value, not {bad[0]!r}.")
    return {key: value for key, _, value in pairs}
