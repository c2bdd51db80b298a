"""Runs what a document shows, as somebody who copies it would."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

#: Seconds that a document's script may take.
PATIENCE = 110.0


def run_script(script: str, environment: Mapping[str, str], directory: Path, seconds: float = PATIENCE) -> str:
    """Run a script of Bash to its end in a directory, with these variables and no others; gives its stdout."""
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=environment,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
