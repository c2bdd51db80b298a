import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from control_plane.api.json_text import check_json_object
from control_plane.errors import HoldfastError, JsonInvalid
from runtimes.json_text import MAX_DEPTH

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=10)
VALUE = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
JSON = st.recursive(VALUE, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b'{"name":', "json_invalid", None),
        (b"{'name': 1}", "json_invalid", None),
        (b'{"name": "a\tb"}', "json_invalid", None),
        (b"{} {}", "json_invalid", None),
        (b'\xef\xbb\xbf{"bom": 1}', "json_invalid", None),
        (b'{"name": "\xff"}', "body_not_utf8", None),
        (b'{"name": "\xed\xa0\x80"}', "body_not_utf8", None),
        (b'{"name": 1, "name": 1}', "json_duplicate_key", "/name"),
        (b'{"name": 1, "n\\u0061me": 2}', "json_duplicate_key", "/name"),
        (b'{"a": [0, {"b": 1, "b": 2}]}', "json_duplicate_key", "/a/1/b"),
        (b"[" * 100_000, "json_too_deep", None),
        (b'{"a":' * 100_000, "json_too_deep", None),
        (nested(MAX_DEPTH + 1), "json_too_deep", None),
        (b"[]", "type_error", "/"),
        (b'"text"', "type_error", "/"),
        (b"null", "type_error", "/"),
        (b'{"a": "x\\u0000y"}', "text_nul", "/a"),
        (b'{"a": [{"b\\u0000": 1}]}', "text_nul", "/a/0/b\x00"),
        (b'{"a/b~c": "\\u0000"}', "text_nul", "/a~1b~0c"),
        (b'{"a": "\\ud800"}', "text_not_utf8", "/a"),
        (b'{"a": "\\udc00\\ud800"}', "text_not_utf8", "/a"),
        (b'{"a\\udfff": 1}', "text_not_utf8", "/a\\udfff"),
        (b'{"a": 9223372036854775808}', "number_out_of_range", "/a"),
        (b'{"a": -9223372036854775809}', "number_out_of_range", "/a"),
        (b'{"a": [1, NaN]}', "number_out_of_range", "/a/1"),
        (b'{"a": -Infinity}', "number_out_of_range", "/a"),
        (b'{"a": 1e400}', "number_out_of_range", "/a"),
        (b'{"a": ' + b"9" * 5000 + b"}", "number_out_of_range", "/a"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_nobody_should_have_to_handle_is_refused_with_its_place(body: bytes, code: str, field: str | None) -> None:
    with pytest.raises(HoldfastError) as refused:
        check_json_object(body)

    assert (refused.value.code, refused.value.field) == (code, field)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b' {"a": 9223372036854775807, "b": -9223372036854775808, "c": -0.0, "d": 1e308} \n',
        b'{"a": "\\ud83d\\ude00 \\u00e9 \\u0001 \\u2028"}',
        b'{"a": {"name": 1}, "b": {"name": 2}}',
        b'{"a": "\\\\u0000 [[[[[[[["}',
        b'{"a": "' + b"[" * 1000 + b'"}',
        nested(MAX_DEPTH),
        b'{"a": [' + b"[]," * 1000 + b"[]]}",
    ],
    ids=lambda body: repr(body)[:40],
)
def test_what_is_unusual_but_right_passes(body: bytes) -> None:
    check_json_object(body)


@given(st.dictionaries(TEXT, JSON, max_size=3))
def test_every_object_that_a_serializer_writes_passes(document: dict[str, object]) -> None:
    check_json_object(to_json(document))


def test_invalid_json_is_told_with_line_and_column() -> None:
    with pytest.raises(JsonInvalid) as refused:
        check_json_object(b'{\n  "name": oops\n}')

    assert refused.value.extra == {"line": 2, "column": 11}
    assert "line 2, column 11" in refused.value.detail
