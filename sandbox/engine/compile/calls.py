"""Calls of tracked functions and of computed fields, by argument name."""

from __future__ import annotations

from sandbox.engine.compile.sql import ident
from sandbox.engine.documents.coerce import Fields
from sandbox.engine.tracking.catalog import Function

from .compiler import Compiler
from .filters import session_json


def call(
    c: Compiler,
    function: Function,
    given: Fields | None,
    session_argument: str | None,
    fixed: dict[str, str],
) -> str:
    """Call a function by argument name; what was not given takes its SQL default."""
    parts = []
    for at, argument in enumerate(function.arguments, 1):
        value = None
        if argument.name in fixed:
            value = fixed[argument.name]
        elif argument.name == session_argument:
            value = session_json(c, argument.type)
        elif given is not None and argument.name in given.items:
            value = c.value(given.items[argument.name], argument.type)
        if value is not None:
            # The catalog's word for an argument without a name, which only its place can tell.
            name = "" if argument.name == f"arg_{at}" else f"{ident(argument.name)} => "
            parts.append(f"{name}{value}")
    schema, name = function.name
    return f"{ident(schema)}.{ident(name)}({', '.join(parts)})"
