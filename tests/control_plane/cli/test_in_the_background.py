"""The tests themselves, started as a shell starts its jobs in the background: SIGINT is ignored there."""

import subprocess
import sys

from tests.architecture.source import ROOT

INTERRUPTED = "tests/control_plane/cli/test_run.py::test_ctrl_c_before_the_execution_is_known_says_how_to_find_it"


def test_what_tests_interrupt_ends_although_their_shell_ignores_sigint() -> None:
    job = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-m", "pytest", "-q", INTERRUPTED]

    done = subprocess.run(job, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-2000:]
