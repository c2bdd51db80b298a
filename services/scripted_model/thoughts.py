"""Seals on thoughts: a provider knows its own again, and refuses a conversation that has lost them."""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from hashlib import sha256
from typing import Literal

Kind = Literal["open", "sealed"]
_KEY = "the scripted model's own"
_DIGEST_SIZE = 32


def signature(text: str) -> str:
    """The signature of thoughts that a caller may read."""
    return b64encode(_digest(text)).decode()


def seal(text: str) -> str:
    """Thoughts that a caller may keep but not read."""
    return b64encode(_digest(text) + text.encode(errors="replace")).decode()


def is_seal(data: str) -> bool:
    """Whether the thoughts in a seal are ours, and whole."""
    try:
        opened = b64decode(data, validate=True)
    except (NotBase64, ValueError):
        return False
    return opened[:_DIGEST_SIZE] == _digest(opened[_DIGEST_SIZE:].decode(errors="replace"))


def _digest(text: str) -> bytes:
    return sha256(f"{_KEY}\0{text}".encode(errors="replace")).digest()
