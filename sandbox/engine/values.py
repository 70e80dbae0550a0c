"""How one GraphQL or JSON value becomes the text Postgres casts, by type.

Everything is bound as text and cast in SQL, so that Postgres judges dates, uuids and numbers by
its own rules and a wrong one reads the same as it does in Hasura.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from .errors import invalid, unparsed

Encoder = Callable[[Any, str], str]

INT4 = (-(2**31), 2**31 - 1)
BOUNDS = {"int2": (-(2**15), 2**15 - 1), "int4": INT4}
TRUTHS = {"true": "true", "false": "false", "t": "true", "f": "false"}
WHOLE_EXPONENT_MAX = 1024  # beyond it even a whole number is written with its exponent
PLAIN_DIGITS_MAX = 7


WRITE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # made once


class EnumName(str):
    """An enum literal in a document, which is not a string."""

    __slots__ = ()


# The first that fits: an enum value is a str, a boolean is an int.
DESCRIBED: tuple[tuple[type, str], ...] = (
    (type(None), "null"),
    (EnumName, "an enum value"),
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a float"),
    (Decimal, "a float"),
    (str, "a string"),
    (list, "a list"),
    (object, "an object"),
)


def kind_of(value: Any) -> str:
    """Name a JSON value the way Hasura's parser does."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, (int, float, Decimal)):
        return "Number"
    if isinstance(value, str):
        return "String"
    return "Array" if isinstance(value, list) else "Object"


def described(value: Any) -> str:
    """Name a value the way a validation text does."""
    return next(text for kind, text in DESCRIBED if isinstance(value, kind))


def exact(text: str) -> Decimal:
    """Read a number with a fraction or an exponent; raises ValueError for one beyond all bounds."""
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(text) from error


def no_number(name: str) -> Any:
    """Refuse NaN and the infinities, which Python reads and JSON does not have."""
    raise ValueError(name)


def to_json(value: Any) -> str:
    """Write JSON, keeping every digit of a number that was read as Decimal."""
    try:
        return _written(value)
    except RecursionError as error:  # it could be read, which needs less of the stack
        raise invalid("a value is nested too deeply", "$") from error


def _written(value: Any) -> str:
    try:
        return WRITE(value)
    except TypeError:
        return _exact_json(value)


def _exact_json(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return "[" + ",".join(_exact_json(item) for item in value) + "]"
    if isinstance(value, dict):
        pairs = (f"{json.dumps(str(key))}:{_exact_json(item)}" for key, item in value.items())
        return "{" + ",".join(pairs) + "}"
    return json.dumps(value, ensure_ascii=False)


def spell(number: Decimal) -> str:
    """Write a number as Hasura does, exactly: 150, plain from 0.1 to ten million, or as 5.0e-2."""
    sign, figures, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 -- JSON has neither infinities nor NaN
    minus, digits = "-" if sign and number else "", "".join(map(str, figures))
    if 0 <= exponent <= WHOLE_EXPONENT_MAX:
        return f"{minus}{digits}{'0' * exponent}" if number else "0"
    point = len(digits) + exponent  # where the dot stands in the digits
    digits = digits.rstrip("0")
    if not digits:
        return "0.0"
    if point == 0:
        return f"{minus}0.{digits}"
    if 0 < point <= PLAIN_DIGITS_MAX:
        return f"{minus}{digits[:point].ljust(point, '0')}.{digits[point:] or '0'}"
    return f"{minus}{digits[0]}.{digits[1:] or '0'}e{point - 1}"


def encode_text(value: Any, path: str) -> str:
    if isinstance(value, str) and not isinstance(value, EnumName):
        return value
    raise unparsed(f"parsing Text failed, expected String, but encountered {kind_of(value)}", path)


def integer_encoder(lowest: int, highest: int) -> Encoder:
    def encode(value: Any, path: str) -> str:
        if isinstance(value, str) and not isinstance(value, EnumName):
            return value
        if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
            kind = kind_of(value)
            raise unparsed(f"parsing Integer failed, expected Number, but encountered {kind}", path)
        # In this order: 1e999999999 is a number, too, but no int that fits anywhere.
        if not lowest <= value <= highest or value != int(value):
            raise unparsed(
                f"The value {value} lies outside the bounds or is not an integer. "
                "Maybe it is a float, or is there integer overflow?",
                path,
            )
        return str(int(value))

    return encode


def encode_number(value: Any, path: str) -> str:
    if isinstance(value, str) and not isinstance(value, EnumName):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        kind = kind_of(value)
        raise unparsed(f"parsing Scientific failed, expected Number, but encountered {kind}", path)
    return str(value)


def encode_boolean(value: Any, path: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.lower() in TRUTHS and not isinstance(value, EnumName):
        return TRUTHS[value.lower()]
    raise unparsed(f"parsing Bool failed, expected Bool, but encountered {kind_of(value)}", path)


def encode_json(value: Any, path: str) -> str:
    if _has_enum(value):
        raise unparsed("JSON values can not contain enum values", path)
    return to_json(value)


def _has_enum(value: Any) -> bool:
    left = [value]
    while left:
        part = left.pop()
        kind = type(part)
        if kind is dict:
            left.extend(part.values())
        elif kind is list:
            left.extend(part)
        elif kind is EnumName:
            return True
    return False


def encode_other(value: Any, path: str) -> str:
    """Hand text to Postgres as it is: uuid, dates, intervals, native enums, unknown types."""
    if isinstance(value, (bool, list, dict, EnumName)) or value is None:
        found = "an enum value" if isinstance(value, EnumName) else kind_of(value)
        raise unparsed(f"A string is expected, but encountered {found}", path)
    return str(value)


def array_encoder(element: Encoder) -> Encoder:
    """Write a Postgres array literal; text is taken for one that is already written."""

    def encode(value: Any, path: str) -> str:
        if isinstance(value, str):
            return value
        items = value if isinstance(value, list) else [value]
        parts = [
            encode(item, f"{path}[{index}]")
            if isinstance(item, list)
            else _array_item(item, element, f"{path}[{index}]")
            for index, item in enumerate(items)
        ]
        return "{" + ",".join(parts) + "}"

    return encode


def _array_item(item: Any, element: Encoder, path: str) -> str:
    if item is None:
        return "NULL"
    text = element(item, path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


ENCODERS: dict[str, Encoder] = {
    "text": encode_text,
    "varchar": encode_text,
    "bpchar": encode_text,
    "citext": encode_text,
    "name": encode_text,
    "int2": integer_encoder(*BOUNDS["int2"]),
    "int4": integer_encoder(*BOUNDS["int4"]),
    "int8": encode_number,
    "numeric": encode_number,
    "float4": encode_number,
    "float8": encode_number,
    "bool": encode_boolean,
    "json": encode_json,
    "jsonb": encode_json,
}
