"""Encoders of GraphQL's own scalars, which are stricter than those of columns."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from sandbox.engine.errors import invalid, unparsed
from sandbox.engine.values import INT4, Encoder, described

WHOLE = re.compile(r"-?[0-9]{1,19}")  # what a text that stands for an offset may be


def _outside(value: Any, path: str) -> Exception:
    return unparsed(
        f"The value {value} lies outside the bounds or is not an integer. "
        "Maybe it is a float, or is there integer overflow?",
        path,
    )


def limit(value: Any, path: str) -> str:
    if isinstance(value, (float, Decimal)):
        raise _outside(value, path)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= INT4[1]:
        found = described(value)
        text = f"expected a non-negative 32-bit integer for type 'Int', but found {found}"
        raise invalid(text, path)
    return str(value)


def offset(value: Any, path: str) -> str:
    if isinstance(value, (float, Decimal)):
        raise _outside(value, path)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if not is_number and not (type(value) is str and WHOLE.fullmatch(value)):
        text = f"expected a 32-bit integer for type 'Int', but found {described(value)}"
        raise invalid(text, path)
    return str(value)


def integer(value: Any, path: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int) or not INT4[0] <= value <= INT4[1]:
        text = f"expected a 32-bit integer for type 'Int', but found {described(value)}"
        raise invalid(text, path)
    return str(value)


def boolean(value: Any, path: str) -> str:
    if not isinstance(value, bool):
        raise invalid(f"expected a boolean for type 'Boolean', but found {described(value)}", path)
    return "true" if value else "false"


def number(value: Any, path: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise invalid(f"expected a float for type 'Float', but found {described(value)}", path)
    return str(value)


def text(value: Any, path: str) -> str:
    if not isinstance(value, str) or type(value) is not str:
        raise invalid(f"expected a string for type 'String', but found {described(value)}", path)
    return value


def identifier(value: Any, path: str) -> str:
    if type(value) is str or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise invalid(f"expected a String or Int for type 'ID', but found {described(value)}", path)


# Of custom types, which name them as GraphQL does.
BY_NAME: dict[str, Encoder] = {
    "Int": integer,
    "Float": number,
    "String": text,
    "Boolean": boolean,
    "ID": identifier,
}
