"""What the container tests measured, as text."""

import io
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass
class Report:
    """Sizes of images in bytes; figures of a test by their names."""

    sizes: dict[str, int] = field(default_factory=dict[str, int])
    figures: dict[str, str] = field(default_factory=dict[str, str])

    def render(self) -> str:
        """Both as tables."""
        text = io.StringIO()
        console = Console(file=text, width=100)
        sizes = {name: f"{size / 1e6:.0f} MB" for name, size in sorted(self.sizes.items())}
        for title, rows in (("image", sizes), ("figure", self.figures)):
            if rows:
                console.print(_table(title, rows))
        return text.getvalue()


def _table(title: str, rows: dict[str, str]) -> Table:
    table = Table(title, "")
    for name, value in rows.items():
        table.add_row(name, value)
    return table
