"""Where bubblewrap is missing, tests that need it are skipped; not in CI, where they fail."""

import os
import shutil

import pytest

needs_sandbox = pytest.mark.skipif(
    shutil.which("bwrap") is None and "CI" not in os.environ, reason="bubblewrap is not installed here"
)
