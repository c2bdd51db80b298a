"""Envelopes: opened by their key, at their place, as they were sealed."""

import base64
from dataclasses import replace
from uuid import UUID

import pytest

from control_plane.sealing import Keyring, Place, SealBroken, Sealed
from control_plane.secret_keys import read_keys

KEY, OTHER = bytes(32), bytes(range(32))
OURS, THEIRS = UUID(int=1), UUID(int=2)
PLACE = Place(OURS, "TOKEN", 1)


def text_of(*keys: bytes) -> str:
    return ",".join(base64.b64encode(key).decode() for key in keys)


def test_a_value_comes_out_as_it_went_in_and_is_never_sealed_alike() -> None:
    keyring = Keyring([KEY])

    first, second = keyring.seal(PLACE, "geheim ✓"), keyring.seal(PLACE, "geheim ✓")

    assert keyring.open(PLACE, first) == keyring.open(PLACE, second) == "geheim ✓"
    assert (first.value, first.wrapped_key) != (second.value, second.wrapped_key)
    assert b"geheim" not in first.value + first.wrapped_key


@pytest.mark.parametrize("place", [Place(THEIRS, "TOKEN", 1), Place(OURS, "OTHER", 1), Place(OURS, "TOKEN", 2)])
def test_a_row_in_the_place_of_another_opens_nothing(place: Place) -> None:
    keyring = Keyring([KEY])

    with pytest.raises(SealBroken, match="belongs to another place"):
        keyring.open(place, keyring.seal(PLACE, "value"))


def test_a_data_key_of_another_value_opens_nothing() -> None:
    keyring = Keyring([KEY])
    first, second = keyring.seal(PLACE, "value"), keyring.seal(PLACE, "value")

    with pytest.raises(SealBroken):
        keyring.open(PLACE, replace(first, wrapped_key=second.wrapped_key))


@pytest.mark.parametrize("field", ["wrapped_key", "value"])
@pytest.mark.parametrize("at", [0, 15, -1])
def test_a_changed_byte_is_noticed(field: str, at: int) -> None:
    keyring = Keyring([KEY])
    sealed = keyring.seal(PLACE, "value")
    changed = bytearray(getattr(sealed, field))
    changed[at] ^= 1

    with pytest.raises(SealBroken):
        keyring.open(PLACE, replace(sealed, **{field: bytes(changed)}))


@pytest.mark.parametrize("field", ["wrapped_key", "value"])
def test_nothing_opens_nothing(field: str) -> None:
    keyring = Keyring([KEY])

    with pytest.raises(SealBroken):
        keyring.open(PLACE, replace(keyring.seal(PLACE, "value"), **{field: b""}))


def test_another_key_is_named_by_its_id_and_by_its_setting() -> None:
    sealed = Keyring([KEY]).seal(PLACE, "value")

    with pytest.raises(SealBroken, match=f"under the key {sealed.key_id}, which HOLDFAST_SECRETS_KEY does not hold"):
        Keyring([OTHER]).open(PLACE, sealed)


def test_a_new_first_key_seals_and_the_old_one_opens_still() -> None:
    before = Keyring.read(text_of(KEY)).seal(PLACE, "value")
    rotated = Keyring.read(text_of(OTHER, KEY))

    after = rotated.seal(PLACE, "value")

    assert rotated.open(PLACE, before) == "value"
    assert Keyring.read(text_of(OTHER)).open(PLACE, after) == "value"


def test_a_key_under_the_id_of_another_opens_nothing() -> None:
    sealed = Keyring([KEY]).seal(PLACE, "value")
    claimed = Sealed(Keyring([OTHER]).seal(PLACE, "").key_id, sealed.wrapped_key, sealed.value)

    with pytest.raises(SealBroken):
        Keyring([OTHER]).open(PLACE, claimed)


@pytest.mark.parametrize(
    "text", ["", " , ", "short", "!" * 44, text_of(KEY) + ",x", base64.b64encode(bytes(16)).decode()]
)
def test_what_is_no_key_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(ValueError, match="32 random bytes in base64"):
        read_keys(text)


def test_keys_may_be_written_for_urls_and_without_padding() -> None:
    key = bytes([255] * 32)

    assert read_keys(base64.urlsafe_b64encode(key).decode().rstrip("=") + "\n") == [key]


def test_marks_are_alike_for_the_same_only_and_depend_on_the_key() -> None:
    keyring = Keyring([KEY])

    assert keyring.mark("a", "bc") == keyring.mark("a", "bc")
    assert len({keyring.mark("a", "bc"), keyring.mark("ab", "c"), Keyring([OTHER]).mark("a", "bc")}) == 3
