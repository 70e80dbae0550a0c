"""JSON from outside is parsed into what can be kept, or refused as a whole."""

import pytest

from app import jsonb


def nested(depth: int) -> bytes:
    """Arrays and objects in turn within each other, so many of them."""
    inner = b"1"
    for level in range(depth):
        inner = b"[%b]" % inner if level % 2 else b'{"a": %b}' % inner
    return inner


@pytest.mark.parametrize("parse", [jsonb.parse, jsonb.parse_exactly])
def test_what_is_nested_64_deep_is_read_and_no_deeper(parse) -> None:
    assert parse(nested(64))
    for depth in (65, 66, 900, 100_000):
        with pytest.raises(ValueError, match="nested too deeply"):
            parse(nested(depth))


def test_many_in_a_row_are_not_deep() -> None:
    assert jsonb.parse(b"[" + b",".join([b"[]"] * 1000) + b"]") == [[]] * 1000


def test_depth_hides_in_no_branch_and_in_no_other_encoding() -> None:
    wide = b'[{"a": []}, {"b": %b}, []]' % nested(63)
    for body in (wide, wide.decode().encode("utf-16")):
        with pytest.raises(ValueError, match="nested too deeply"):
            jsonb.parse(body)
    assert jsonb.parse(b'[{"a": []}, {"b": %b}, []]' % nested(62))
