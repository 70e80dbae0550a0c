"""Reads Stripe's form encoding and holds it against the SDK's own parameter types.

`line_items[0][price_data][currency]=usd` becomes nested values. The types that the official
SDK ships for its API version say which keys exist, which are required, what is a number and
which words are allowed, so the judge of a request is Stripe's own description.
"""

import re
import sys
from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from stripe import _request_options
from typing_extensions import is_typeddict

from sandbox.gateways.stripe.errors import RefusalError, invalid, missing

LONGEST = 5000
DECIMAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,12})?")
MOST_METADATA, LONGEST_NAME, LONGEST_VALUE = 50, 40, 500


def decode(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Turn bracketed names into nested dicts; lists stay dicts keyed by their index."""
    tree: dict[str, Any] = {}
    for name, value in pairs:
        head, _, rest = name.partition("[")
        steps = [head, *(rest.rstrip("]").split("][") if rest else [])]
        branch = tree
        for step in steps[:-1]:
            below = branch.setdefault(_key(step, branch), {})
            if not isinstance(below, dict):
                raise invalid("Invalid object", head)
            branch = below
        branch[_key(steps[-1], branch)] = value
    return tree


def _key(step: str, branch: dict[str, Any]) -> str:
    return step or str(len(branch))


def check(tree: dict[str, Any], shape: type | None) -> dict[str, Any]:
    """Convert a decoded request to the types of its shape. Raises RefusalError as Stripe does."""
    if shape is None:
        fields: dict[str, Any] = {"expand": list[str]}
        required: frozenset[str] = frozenset()
    else:
        fields, required = _fields(shape)
    unknown = [name for name in tree if name not in fields]
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        raise invalid(
            f"Received unknown parameter{plural}: {', '.join(unknown)}",
            unknown[0],
            "parameter_unknown",
        )
    return _object(tree, fields, required, "")


@cache
def _fields(shape: type) -> tuple[dict[str, Any], frozenset[str]]:
    """Give a type's fields without the SDK's own request options, and those required."""
    names = {**vars(_request_options), **vars(sys.modules[shape.__module__]), "StripeContext": str}
    hints = get_type_hints(shape, names)
    options = set(_request_options.RequestOptions.__annotations__)
    fields = {name: hint for name, hint in hints.items() if name not in options}
    return fields, frozenset(getattr(shape, "__required_keys__", ())) & set(fields)


def _object(
    tree: dict[str, Any], fields: dict[str, Any], required: frozenset[str], path: str
) -> dict[str, Any]:
    found = {}
    for name, value in tree.items():
        place = f"{path}[{name}]" if path else name
        if name not in fields:
            raise invalid(f"Received unknown parameter: {place}", place, "parameter_unknown")
        found[name] = _value(value, fields[name], place)
    for name in sorted(required - set(tree)):
        raise missing(f"{path}[{name}]" if path else name)
    return found


def _value(value: Any, hint: Any, path: str) -> Any:
    origin = get_origin(hint)
    if origin is Union or type(hint).__name__ == "UnionType":
        return _union(value, get_args(hint), path)
    if origin is Literal:
        return _word(value, get_args(hint), path)
    if origin is list:
        return _list(value, get_args(hint)[0], path)
    if origin is dict:
        return _metadata(value, path)
    if is_typeddict(hint):
        if not isinstance(value, dict):
            raise invalid("Invalid object", path)
        return _object(value, *_fields(hint), path)
    return _scalar(value, hint, path)


def _union(value: Any, options: tuple[Any, ...], path: str) -> Any:
    """Choose among alternatives; `''` unsets, and words are a closed list, but beside `bool`."""
    words = [word for one in options if get_origin(one) is Literal for word in get_args(one)]
    if isinstance(value, str) and value in words:
        return value
    if any(word for word in words) and bool not in options:
        return _word(value, tuple(word for word in words if word), path)
    shapes = [one for one in options if _takes_object(one)]
    scalars = [one for one in options if one in {str, int, bool, Decimal, float}]
    if isinstance(value, dict) and shapes:
        return _value(value, shapes[0], path)
    if scalars:
        return _scalar(value, scalars[0], path)
    return _value(value, shapes[0], path)


def _takes_object(hint: Any) -> bool:
    return is_typeddict(hint) or get_origin(hint) in {list, dict}


def _word(value: Any, words: tuple[Any, ...], path: str) -> Any:
    if value in words:
        return value
    listed = [str(word) for word in words]
    last = f"{', '.join(listed[:-1])}, or {listed[-1]}" if len(listed) > 2 else " or ".join(listed)
    raise invalid(f"Invalid {path}: must be one of {last}", path)


def _list(value: Any, hint: Any, path: str) -> list[Any]:
    if not isinstance(value, dict):
        raise invalid("Invalid array", path)
    if not all(index.isdecimal() for index in value):
        raise invalid("Invalid array", path)
    ordered = sorted(value, key=int)
    return [_value(value[index], hint, f"{path}[{index}]") for index in ordered]


def _metadata(value: Any, path: str) -> dict[str, str]:
    if value == "":
        return {}
    if not isinstance(value, dict):
        raise invalid("Invalid object", path)
    if len(value) > MOST_METADATA:
        raise invalid(f"You can have at most {MOST_METADATA} keys in `{path}`.", path)
    for name, text in value.items():
        place = f"{path}[{name}]"
        if not isinstance(text, str):
            raise invalid("Metadata values must be strings", place)
        if len(name) > LONGEST_NAME:
            raise invalid(f"Metadata keys may be at most {LONGEST_NAME} characters long.", place)
        if len(text) > LONGEST_VALUE:
            raise invalid(
                f"Metadata values can have up to {LONGEST_VALUE} characters, but you passed in a"
                f" value that is {len(text)} characters. Invalid value: {text[:20]}...",
                place,
            )
    return dict(value)


def _scalar(value: Any, hint: Any, path: str) -> Any:
    if not isinstance(value, str):
        raise invalid("Invalid string", path)
    if hint is int:
        return _integer(value, path)
    if hint is bool:
        if value not in {"true", "false"}:
            raise invalid(f"Invalid boolean: {value}", path)
        return value == "true"
    if hint is Decimal:
        return _decimal(value, path)
    if value == "":
        raise _empty(path)
    if len(value) > LONGEST:
        raise invalid(f"Invalid string: must be at most {LONGEST} characters", path)
    return value


def _empty(path: str) -> RefusalError:
    return invalid(
        f"You passed an empty string for '{path}'. We assume empty values are an attempt to unset"
        f" a parameter; however '{path}' cannot be unset. You should remove '{path}' from your"
        " request or supply a non-empty value.",
        path,
        "parameter_invalid_empty",
    )


def _integer(value: str, path: str) -> int:
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 19):
        raise invalid(f"Invalid integer: {value}", path, "parameter_invalid_integer")
    return int(value)


def _decimal(value: str, path: str) -> Decimal:
    if not DECIMAL.fullmatch(value):
        raise invalid(f"Invalid decimal: {value}", path)
    return Decimal(value)
