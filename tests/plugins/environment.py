"""An environment of its own that sees what Holdfast needs, and mostly this checkout; plugins are installed into it."""

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from tests.architecture.source import ROOT

#: Builds and installs without PyPI: what builds is there already.
UV = ROOT / ".tools" / "bin" / "uv"
COMMAND = "#!{python}\nimport sys\nfrom control_plane.cli.main import main\n\nsys.exit(main())\n"


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    directory: Path

    @classmethod
    def create(cls, directory: Path, *, checkout: bool = True) -> "Environment":
        """Make it, with the `holdfast` command in it; without the checkout, Holdfast is to be installed."""
        environment = cls(directory)
        directory.mkdir()
        (directory / "uv.toml").write_text("[pip]\nno-deps = true\n")
        environment.uv("venv", "--allow-existing", "--quiet", "--python", sys.executable, str(directory))
        seen = [sysconfig.get_path("purelib"), *([str(ROOT)] if checkout else [])]
        (environment.site / "seen.pth").write_text("\n".join(seen))
        command = environment.command
        command.write_text(COMMAND.format(python=directory / "bin" / "python"))
        command.chmod(0o755)
        return environment

    @property
    def site(self) -> Path:
        """Give the directory where packages are installed."""
        (site,) = self.directory.glob("lib/python*/site-packages")
        return site

    @property
    def command(self) -> Path:
        """The `holdfast` command."""
        return self.directory / "bin" / "holdfast"

    @property
    def variables(self) -> dict[str, str]:
        """What makes it the active one."""
        path = f"{self.directory / 'bin'}:{UV.parent}:{os.environ['PATH']}"
        kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
        return kept | {
            "PATH": path,
            "VIRTUAL_ENV": str(self.directory),
            "UV_NO_BUILD_ISOLATION": "1",
            "UV_OFFLINE": "1",
            "UV_CONFIG_FILE": str(self.directory / "uv.toml"),
            "NO_PROXY": "127.0.0.1",
            "HOLDFAST_DATA_DIR": str(self.directory / "data"),
        }

    def install(self, *requirements: str) -> None:
        """Build and install distributions, without what they depend on: that is there."""
        self.uv("pip", "install", "--quiet", *requirements)

    def uv(self, *arguments: str) -> None:
        """Run uv in the environment."""
        subprocess.run([UV, *arguments], env=self.variables, check=True, capture_output=True, text=True)

    def holdfast(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command."""
        return subprocess.run(
            [self.command, *arguments],
            env=self.variables | variables,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
