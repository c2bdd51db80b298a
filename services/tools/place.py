"""Where a turn's tools work."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from services.control_plane_client.models import ChildState
from services.tools.secret_values import SecretValues
from services.turn_control import TurnControl

#: Starts another agent's execution, or gives its state: takes a key, the agent and the prompt.
StartChild = Callable[[str, str, str], Awaitable[ChildState]]


@dataclass(frozen=True, slots=True)
class TurnPlace:
    """One attempt at a turn, and the directory that its execution has for itself.

    `start_child` and `control` are for tools that wait for other executions, `secrets` for those that the agent's
    definition refers to.
    """

    workspace: Path
    execution_id: str
    organization_id: str
    turn: int
    attempt: int
    start_child: StartChild | None = None
    control: TurnControl | None = None
    secrets: SecretValues = field(default_factory=SecretValues, repr=False)
