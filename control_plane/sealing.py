"""Envelope encryption of secrets: a data key for each, sealed under the operator's key-encryption key."""

import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from control_plane.secret_keys import KEY_BYTES, read_keys

#: Bytes of AES-GCM's nonce, which stands before each ciphertext.
_NONCE = 12
#: Characters of a key's id.
_ID = 16


class SealBroken(Exception):
    """A stored value that cannot be opened; the message says why, and nothing of the value."""


class Place(NamedTuple):
    """The place of a value: it can be opened there only."""

    organization_id: UUID
    name: str
    version: int

    def bound(self, what: str) -> bytes:
        """Write the place to which the ciphertext of a value, or of its data key, is bound."""
        return json.dumps(["holdfast", 1, what, str(self.organization_id), self.name, self.version]).encode()


@dataclass(frozen=True, slots=True)
class Sealed:
    """A value under its data key, and that one under the key-encryption key of an id."""

    key_id: str
    wrapped_key: bytes
    value: bytes


class Keyring:
    """Key-encryption keys: the first one seals, all of them open what they have sealed."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_id(key): key for key in keys}
        self._first = keys[0]

    @classmethod
    def of(cls, setting: SecretStr | None) -> "Keyring | None":
        """The keys of a setting, or None where it is not set."""
        return cls.read(setting.get_secret_value()) if setting else None

    @classmethod
    def read(cls, text: str) -> "Keyring":
        """The keys of a setting.

        Raises:
            ValueError: one is none, or there is none.
        """
        return cls(read_keys(text))

    def lacks(self, key_ids: Iterable[str]) -> list[str]:
        """Those of the ids of which no key is here."""
        return sorted(set(key_ids) - self._keys.keys())

    def seal(self, place: Place, value: str) -> Sealed:
        """Seal a value for its place."""
        data_key = os.urandom(KEY_BYTES)
        return Sealed(
            key_id=_id(self._first),
            wrapped_key=_encrypt(self._first, data_key, place.bound("key")),
            value=_encrypt(data_key, value.encode(), place.bound("value")),
        )

    def open(self, place: Place, sealed: Sealed) -> str:
        """The value that was sealed for a place.

        Raises:
            SealBroken: it was sealed under another key, for another place, or was changed.
        """
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise SealBroken(f"It is sealed under the key {sealed.key_id}, which HOLDFAST_SECRETS_KEY does not hold.")
        try:
            data_key = _decrypt(key, sealed.wrapped_key, place.bound("key"))
            return _decrypt(data_key, sealed.value, place.bound("value")).decode()
        except (InvalidTag, ValueError):
            raise SealBroken("It was changed in the database, or belongs to another place in it.") from None

    def mark(self, *parts: str) -> str:
        """A short text that is the same for the same parts, and tells nothing of them without the key."""
        key = hashlib.sha256(b"holdfast mark" + self._first).digest()
        return hmac.new(key, json.dumps(parts).encode(), hashlib.sha256).hexdigest()[:12]


def _id(key: bytes) -> str:
    return hashlib.sha256(b"holdfast key id" + key).hexdigest()[:_ID]


def _encrypt(key: bytes, plain: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound)


def _decrypt(key: bytes, stored: bytes, bound: bytes) -> bytes:
    return AESGCM(key).decrypt(stored[:_NONCE], stored[_NONCE:], bound)
