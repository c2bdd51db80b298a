"""The text of key-encryption keys, as settings hold it."""

import base64
import binascii

#: Bytes of AES-256's key.
KEY_BYTES = 32
KEY_RULE = "each key is 32 random bytes in base64, such as `openssl rand -base64 32` writes"


def read_keys(text: str) -> list[bytes]:
    """The keys in their order, the one that seals first; commas or white space are between them.

    Raises:
        ValueError: one is none, or there is none.
    """
    keys = [_key(word) for word in text.replace(",", " ").split()]
    if not keys:
        raise ValueError(f"there is no key: {KEY_RULE}")
    return keys


def _key(word: str) -> bytes:
    try:
        key = base64.b64decode(word.translate(str.maketrans("-_", "+/")) + "=" * (-len(word) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(KEY_RULE)
    return key
