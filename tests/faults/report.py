"""What the fault suite found: `.bench/faults.json`, and a table for people."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.faults.matrix import Cell

RESULTS = Path(__file__).parents[2] / ".bench" / "faults.json"


@dataclass(slots=True)
class Scenario:
    """A fault that is no cell of the matrix; `problem` is empty where everything held."""

    runtime: str
    name: str
    seconds: float
    problem: str = ""


@dataclass
class Report:
    """Collects while the suite runs."""

    cells: list[Cell] = field(default_factory=list[Cell])
    scenarios: list[Scenario] = field(default_factory=list[Scenario])

    def write(self) -> None:
        """Replace the results of the last run."""
        RESULTS.parent.mkdir(exist_ok=True)
        content: dict[str, Any] = {
            "measured_at": datetime.now(UTC).isoformat(),
            "kill_matrix": [asdict(cell) for cell in self.cells],
            "scenarios": [asdict(scenario) for scenario in self.scenarios],
        }
        RESULTS.write_text(json.dumps(content, indent=2) + "\n")

    def render(self, width: int = 140) -> str:
        """Both tables."""
        console = Console(width=width, no_color=True)
        with console.capture() as capture:
            for table in self._tables():
                console.print(table)
        return capture.get()

    def _tables(self) -> Sequence[Table]:
        cells = Table("runtime", "kill point", "model calls", "needed", "effects", "needed", "unknown", "resumed after")
        for cell in self.cells:
            cells.add_row(*_row(cell))
        scenarios = Table("runtime", "fault", "seconds", "outcome")
        for each in self.scenarios:
            scenarios.add_row(each.runtime, each.name, f"{each.seconds:.1f}", each.problem or "held")
        return [table for table in (cells, scenarios) if table.row_count]


def _row(cell: Cell) -> tuple[str, ...]:
    resumed = f"{cell.resumed_after:.1f} s" if cell.resumed_after is not None else "-"
    counts = (cell.calls_made, cell.calls_needed, cell.effects_made, cell.effects_needed, cell.unknown)
    return cell.runtime, cell.point, *map(str, counts), cell.problem or resumed
