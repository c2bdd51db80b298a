"""Where a turn's tools work."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TurnPlace:
    """One attempt at a turn, and the directory that its execution has for itself."""

    workspace: Path
    execution_id: str
    organization_id: str
    turn: int
    attempt: int
