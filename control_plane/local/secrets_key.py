"""The key under which the local stack seals secrets: in a file of its own, which nothing replaces."""

import base64
import os
from pathlib import Path
from typing import Any

import psycopg

from control_plane.local.state import replace_file
from control_plane.sealing import Keyring
from control_plane.secret_keys import KEY_BYTES

KEY_LOST = "Put the lost key back into it, behind the one that is there and a comma, or set those secrets anew."
_SEALED = "SELECT key_id, count(*) FROM secrets GROUP BY key_id ORDER BY key_id"


class SecretsKeyUnusable(Exception):
    """The file of the key is not there, or holds none; the message names it."""


def secrets_key(path: Path) -> str:
    """The text of the key; made, with mode 0600, where there is no file yet.

    Raises:
        SecretsKeyUnusable: what is in the file is no key.
    """
    if not path.exists():
        replace_file(path, base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
    keyring_in(path)
    return path.read_text().strip()


def keyring_in(path: Path) -> Keyring:
    """The keys of the file.

    Raises:
        SecretsKeyUnusable: it is not there, or what is in it is no key.
    """
    try:
        return Keyring.read(path.read_text())
    except FileNotFoundError:
        raise SecretsKeyUnusable(f"The key for secrets is gone: {path}.") from None
    except ValueError as error:
        text = str(error) if not isinstance(error, UnicodeError) else "it is no text"
        raise SecretsKeyUnusable(f"{path} holds no key for secrets: {text}.") from None


def lost_keys(connection: psycopg.Connection[tuple[Any, ...]], path: Path) -> str | None:
    """Say which secrets, of any organization, are sealed under keys that the file does not hold; None if none is.

    Raises:
        SecretsKeyUnusable: the file is not there, or what is in it is no key.
        psycopg.Error: the database does not answer.
    """
    sealed = dict(connection.execute(_SEALED).fetchall())
    lost = keyring_in(path).lacks(sealed)
    if not lost:
        return None
    number = sum(sealed[key_id] for key_id in lost)
    return f"{number} stored secret(s) cannot be opened: {path} lacks the key of id {', '.join(lost)}."
