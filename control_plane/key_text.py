"""API keys as text: how they are made, and what is kept of them."""

from base64 import urlsafe_b64encode
from hashlib import sha256
from secrets import token_bytes

PREFIX = "hf_"
#: Length of a key's text: the prefix and 32 bytes in URL-safe base64.
KEY_LENGTH = len(PREFIX) + 43

#: Characters of a key that lists show, so that people can tell keys apart.
SHOWN = len(PREFIX) + 8


def new_key() -> str:
    """The text of a new key: 256 random bits."""
    return PREFIX + urlsafe_b64encode(token_bytes(32)).decode().rstrip("=")


def key_hash(key: str) -> bytes:
    """What is stored of a key."""
    return sha256(key.encode()).digest()
