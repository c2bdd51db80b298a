"""What was measured, as a table and as JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import orjson
from rich.console import Console
from rich.table import Table

from tests.benchmarks.cpu import Spent

#: What a bar is, where it is not for a value that should be small.
_SIGNS = {"1/s": "ratio ≥", "1/min": "≥"}
RESULTS = Path(__file__).parents[2] / ".bench" / "results.json"


@dataclass(frozen=True, slots=True)
class Result:
    """One figure; the names are stable. `ratio` is value by baseline; `met` is None where there is no bar."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    bar: float | None = None
    met: bool | None = None

    @classmethod
    def of(cls, name: str, value: float, unit: str, baseline: float | None = None) -> Self:
        """A figure without a bar."""
        ratio = None if baseline is None else round(value / baseline, 3)
        return cls(name, round(value, 3), unit, None if baseline is None else round(baseline, 3), ratio)

    def at_most(self, bar: float) -> "Result":
        """The value has an upper bar."""
        return replace(self, bar=bar, met=self.value <= bar)

    def at_least(self, bar: float) -> "Result":
        """The value has a lower bar."""
        return replace(self, bar=bar, met=self.value >= bar)

    def ratio_at_least(self, bar: float) -> "Result":
        """The ratio to the baseline has a lower bar."""
        assert self.ratio is not None
        return replace(self, bar=bar, met=self.ratio >= bar)


def write(results: Sequence[Result], path: Path = RESULTS) -> None:
    """Keep the figures for whoever compares runs."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(orjson.dumps([asdict(result) for result in results], option=orjson.OPT_INDENT_2))


def show(console: Console, results: Sequence[Result]) -> None:
    """Print the figures, and say which bars were missed."""
    table = Table(title="Benchmarks", title_justify="left")
    table.add_column("name", no_wrap=True)
    for column in ("value", "unit", "baseline", "ratio", "bar", "met"):
        table.add_column(column, justify="left" if column == "unit" else "right")
    for each in results:
        bar = "" if each.bar is None else f"{_SIGNS.get(each.unit, '≤')} {each.bar:g}"
        numbers = [_number(each.baseline), _number(each.ratio)]
        table.add_row(each.name, _number(each.value), each.unit, *numbers, bar, _verdict(each.met))
    console.print(table)
    missed = [result.name for result in results if result.met is False]
    console.print(f"[bold red]Bars missed: {', '.join(missed)}." if missed else "[bold green]All bars are met.")


def show_cpu(console: Console, title: str, columns: Sequence[tuple[str, Spent]]) -> None:
    """Print CPU milliseconds per execution, process by process."""
    table = Table("process", title=title, title_justify="left")
    for name, _ in columns:
        table.add_column(f"{name}, CPU-ms", justify="right")
        table.add_column("share", justify="right")
    for process in _processes(spent for _, spent in columns):
        table.add_row(process, *(cell for _, spent in columns for cell in _cells(spent, process)))
    table.add_section()
    _add_sums(table, [spent for _, spent in columns])
    console.print(table)


def _add_sums(table: Table, columns: Sequence[Spent]) -> None:
    table.add_row("all", *(cell for spent in columns for cell in (f"{spent.total:.1f}", "")))
    table.add_row("cores busy", *(cell for spent in columns for cell in (f"{spent.cores:.2f}", "")))


def _processes(columns: Iterable[Spent]) -> list[str]:
    names = dict.fromkeys(name for spent in columns for name in spent.seconds)
    return list(names)


def _cells(spent: Spent, process: str) -> tuple[str, str]:
    return f"{spent.per_execution(process):.2f}", f"{spent.share(process):.0%}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.3g}" if value < 100 else f"{value:,.0f}"


def _verdict(met: bool | None) -> str:
    return "" if met is None else "[green]yes" if met else "[red]NO"
