"""Bodies of GraphQL requests: read exactly, refused in Hasura's words."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from sandbox.engine.errors import EngineError, unparsed
from sandbox.engine.values import exact, kind_of, no_number

NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]*\Z")
# Half a surrogate pair, which no encoding can say; what the group holds is something else.
HALF_PAIR = re.compile(
    r"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
NOT_TEXT = "Cannot decode byte: Data.Text.Encoding: Invalid UTF-8 stream"
REQUEST = "parsing Hasura.GraphQL.Transport.HTTP.Protocol.GQLReq(GQLReq) failed, "


@dataclass(frozen=True, slots=True)
class Request:
    query: str
    variables: dict[str, Any]
    operation_name: str | None


def first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    found.clear()
    for key, value in pairs:
        found.setdefault(key, value)
    return found


DECODER = json.JSONDecoder(
    parse_float=exact, parse_constant=no_number, object_pairs_hook=first_wins
)


def decode(body: bytes) -> Any:
    """Parse JSON, numbers exact and the first of repeated keys kept."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise EngineError("invalid-json", NOT_TEXT) from error
    if ("\\ud" in text or "\\uD" in text) and any(not m[1] for m in HALF_PAIR.finditer(text)):
        raise EngineError("invalid-json", NOT_TEXT)
    try:
        return DECODER.decode(text.strip(" \t\r\n"))
    except json.JSONDecodeError as error:
        raise EngineError("invalid-json", _fault(error)) from error
    except (ValueError, RecursionError) as error:
        raise EngineError("invalid-json", "the body is not JSON") from error


def _fault(error: json.JSONDecodeError) -> str:
    rest = error.doc[error.pos :]
    if not rest.strip():
        return "Unexpected end-of-input, expecting JSON value"
    expected = "JSON value"
    if "property name" in error.msg:
        expected = "key literal"
    elif "delimiter" in error.msg:
        expected = ", or }"
    return f'Unexpected "{rest}", expecting {expected}'


def read(value: Any, path: str = "$") -> Request:
    """Check one request's members; the path is prefixed with its place in a batch."""
    if not isinstance(value, dict):
        text = f"expected Object, but encountered {kind_of(value)}"
        raise unparsed(REQUEST + text, path)
    if "query" not in value:
        raise unparsed(f'{REQUEST}key "query" not found', path)
    query, variables, name = value["query"], value.get("variables"), value.get("operationName")
    if not isinstance(query, str):
        text = f"parsing Text failed, expected String, but encountered {kind_of(query)}"
        raise unparsed(text, f"{path}.query")
    if variables is not None and not isinstance(variables, dict):
        text = f"parsing HashMap failed, expected Object, but encountered {kind_of(variables)}"
        raise unparsed(text, f"{path}.variables")
    if name is not None and not isinstance(name, str):
        text = f"parsing Name failed, expected String, but encountered {kind_of(name)}"
        raise unparsed(text, f"{path}.operationName")
    if name is not None and not NAME.match(name):
        raise unparsed(f"{name} is not valid GraphQL name", f"{path}.operationName")
    return Request(query, variables or {}, name)
