"""The key under which the local stack seals secrets: in a file of its own, which nothing replaces."""

import base64
import os
from pathlib import Path

from control_plane.local.state import replace_file
from control_plane.secret_keys import KEY_BYTES


def secrets_key(path: Path) -> str:
    """The text of the key; made, with mode 0600, where there is no file yet."""
    if not path.exists():
        replace_file(path, base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
    return path.read_text().strip()
