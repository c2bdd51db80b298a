"""The file in which the local stack keeps its own keys."""

import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

from control_plane.local.state import replace_file


@dataclass(frozen=True)
class Credentials:
    """The secrets in `credentials.toml`.

    By `identity_secret` the API proves that it is the stack's own; it is empty in the file of an older release.
    """

    api_key: str
    worker_key: str
    identity_secret: str


def read_credentials(path: Path) -> Credentials | None:
    """The stored keys; None if there are none or the file cannot be used."""
    try:
        stored = tomllib.loads(path.read_text())
        identity_secret = str(stored.get("identity_secret", ""))
        return Credentials(str(stored["api_key"]), str(stored["worker_key"]), identity_secret)
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return None


def write_credentials(path: Path, credentials: Credentials) -> None:
    """Keep them, with mode 0600."""
    lines = [f'{name} = "{secret}"\n' for name, secret in asdict(credentials).items()]
    replace_file(path, "".join(lines).encode())
