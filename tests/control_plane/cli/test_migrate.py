"""`holdfast migrate`, the first command of an installation."""

from pathlib import Path

from tests.control_plane.cli.conftest import Cli


def test_a_new_installation_gets_its_first_key_once(tmp_path: Path, postgres_url: str) -> None:
    (tmp_path / "holdfast.toml").write_text(f'database_url = "{postgres_url}"\n')
    migrate = ("migrate", "--config", "holdfast.toml", "--first-key")
    holdfast = Cli(tmp_path, "http://127.0.0.1:1")

    first, second = holdfast(*migrate), holdfast(*migrate)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout.startswith("hf_")
    assert second.stdout == ""
    assert "There are API keys already" in second.stderr
