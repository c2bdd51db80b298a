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

Entry = dict[str, Any]

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
        """Put this run's results in the place of older ones of the same faults."""
        found: dict[str, list[Entry]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        content = {
            "kill_matrix": _replaced(found.get("kill_matrix", []), self.cells, "point", "wording"),
            "scenarios": _replaced(found.get("scenarios", []), self.scenarios, "name"),
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(content, indent=2) + "\n")

    def render(self, width: int = 140) -> str:
        """Both tables."""
        console = Console(width=width, no_color=True)
        with console.capture() as capture:
            for table in self._tables():
                console.print(table)
        return capture.get()

    def _tables(self) -> Sequence[Table]:
        cells = Table(
            "runtime",
            "kill point",
            "asked again",
            "model calls",
            "needed",
            "effects",
            "needed",
            "unknown",
            "resumed after",
        )
        for cell in self.cells:
            cells.add_row(*_row(cell))
        scenarios = Table("runtime", "fault", "seconds", "outcome")
        for each in self.scenarios:
            scenarios.add_row(each.runtime, each.name, f"{each.seconds:.1f}", each.problem or "held")
        return [table for table in (cells, scenarios) if table.row_count]


def _replaced(older: list[Entry], newer: Sequence[Cell | Scenario], *names: str) -> list[Entry]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entries: list[Entry] = [*older, *({**asdict(each), "measured_at": now} for each in newer)]
    return list({(entry["runtime"], *map(entry.get, names)): entry for entry in entries}.values())


def _row(cell: Cell) -> tuple[str, ...]:
    resumed = f"{cell.resumed_after:.1f} s" if cell.resumed_after is not None else "-"
    counts = (cell.calls_made, cell.calls_needed, cell.effects_made, cell.effects_needed, cell.unknown)
    return cell.runtime, cell.point, cell.wording, *map(str, counts), cell.problem or resumed
