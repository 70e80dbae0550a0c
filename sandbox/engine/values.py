"""How one GraphQL or JSON value becomes the text Postgres casts, by type.

Everything is bound as text and cast in SQL, so that Postgres judges dates, uuids and numbers by
its own rules and a wrong one reads the same as it does in Hasura.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from .errors import unparsed

Encoder = Callable[[Any, str], str]

INT4 = (-(2**31), 2**31 - 1)
BOUNDS = {"int2": (-(2**15), 2**15 - 1), "int4": INT4}
TRUTHS = {"true": "true", "false": "false", "t": "true", "f": "false"}


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


def to_json(value: Any) -> str:
    """Write JSON, keeping every digit of a number that was read as Decimal."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
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
        if value != int(value) or not lowest <= value <= highest:
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
    if isinstance(value, list):
        return any(_has_enum(item) for item in value)
    if isinstance(value, dict):
        return any(_has_enum(item) for item in value.values())
    return isinstance(value, EnumName)


def encode_other(value: Any, path: str) -> str:
    """Hand text to Postgres as it is: uuid, dates, intervals, native enums, unknown types."""
    if isinstance(value, (bool, list, dict, EnumName)) or value is None:
        raise unparsed(f"A string is expected, but encountered {kind_of(value)}", path)
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
