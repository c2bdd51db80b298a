"""The page on plugins, followed to the letter from an empty directory."""

from pathlib import Path

from tests.docs.markdown import Document
from tests.docs.shell import run_script
from tests.plugins.conftest import PLUGIN
from tests.plugins.environment import Environment

GUIDE = Document("docs/plugins.md")


def test_the_guide_leads_to_a_plugin_that_passes(tmp_path: Path) -> None:
    environment = Environment.create(tmp_path / "environment")

    said = run_script(GUIDE.blocks("bash plugin"), environment.variables, tmp_path)

    assert "failed" not in said
    assert sources(tmp_path / "holdfast-oneshot") == sources(PLUGIN)


def sources(directory: Path) -> dict[str, str]:
    """A distribution's files."""
    files = [directory / "pyproject.toml", *directory.glob("holdfast_oneshot/*.py")]
    return {str(file.relative_to(directory)): file.read_text() for file in files}
