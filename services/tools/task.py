"""The toolset `task`: other agents, each as an execution of its own."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson

from runtimes.errors import RuntimeFailure, ToolsetInvalid
from runtimes.types import Effect
from services.control_plane_client.models import ChildState
from services.tools.configuration import TaskToolset
from services.tools.place import StartChild, TurnPlace
from services.tools.spec import Call, ToolFailed, ToolSpec
from services.turn_control import Question, QuestionKind, TurnControl

#: Refusals that the model can do something about.
TOLD = frozenset({"agent_unknown", "runtime_unknown", "runtime_unfit", "depth_exceeded"})
#: Seconds; the call waits for the end of other calls only, then the turn is suspended.
PATIENCE = 24 * 3600.0

_RUNNING = frozenset({"queued", "running", "waiting", "waiting_for_pool", "waiting_for_session"})
_DESCRIPTION = "Give a task to another agent and get its answer. It sees nothing but the prompt."


def task_tools(wanted: TaskToolset, place: TurnPlace) -> list[ToolSpec]:
    """The tool `run_agent`.

    Raises:
        ToolsetInvalid: it names no agent, or executions cannot be started here.
    """
    if not wanted.agents:
        raise ToolsetInvalid("The toolset 'task' names no agents.", hint='Name them: {"type": "task", "agents": […]}')
    if place.start_child is None or place.control is None:
        raise ToolsetInvalid("The toolset 'task' works in executions only.")
    return [
        ToolSpec(
            name="run_agent",
            description=_DESCRIPTION,
            parameters={
                "type": "object",
                "properties": {
                    "agent": {"type": "string", "enum": list(wanted.agents)},
                    "prompt": {"type": "string", "minLength": 1, "description": "All that the agent has to know."},
                },
                "required": ["agent", "prompt"],
                "additionalProperties": False,
            },
            handler=partial(_run, place.start_child, place.control),
            effect=Effect.IDEMPOTENT,
            timeout_seconds=PATIENCE,
        )
    ]


async def _run(start: StartChild, control: TurnControl, arguments: Mapping[str, Any], call: Call) -> str:
    agent, prompt = str(arguments["agent"]), str(arguments["prompt"])
    if "\x00" in prompt:
        raise ToolFailed("The prompt must not contain the character U+0000.")
    try:
        child = await start(call.idempotency_key, agent, prompt)
    except RuntimeFailure as refusal:
        if refusal.code not in TOLD:
            raise
        raise ToolFailed(f"{refusal.message} {refusal.hint}".strip()) from refusal
    if child.status in _RUNNING:
        await control.ask(Question(QuestionKind.CHILD, child.id, "", agent))
    return _answer(child, agent)


def _answer(child: ChildState, agent: str) -> str:
    if child.status == "completed":
        return child.response or ("" if child.output is None else orjson.dumps(child.output).decode())
    reason = f"{child.error.code}: {child.error.message}" if child.error else "it was stopped"
    raise ToolFailed(f"The agent '{agent}' did not finish ({child.status}): {reason}")
