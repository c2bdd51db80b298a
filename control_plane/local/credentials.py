"""The file in which the local stack keeps its own keys."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from control_plane.local.state import replace_file


@dataclass(frozen=True)
class Credentials:
    """The secrets in `credentials.toml`."""

    api_key: str
    worker_key: str


def read_credentials(path: Path) -> Credentials | None:
    """The stored keys; None if there are none or the file cannot be used."""
    try:
        stored = tomllib.loads(path.read_text())
        return Credentials(str(stored["api_key"]), str(stored["worker_key"]))
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return None


def write_credentials(path: Path, credentials: Credentials) -> None:
    """Keep the keys, with mode 0600."""
    text = f'api_key = "{credentials.api_key}"\nworker_key = "{credentials.worker_key}"\n'
    replace_file(path, text.encode())
