"""Which functions can be served, as root fields or as computed fields, and why others cannot."""

from __future__ import annotations

from typing import Any

from sandbox.engine.types import PgType

from .catalog import Catalog, Function, Name
from .tracked import Tracked, TrackedTable, dotted


def only_function(catalog: Catalog, name: Name) -> Function | str:
    found = catalog.functions.get(name) or []
    if not found:
        return f'no such function exists: "{dotted(name)}"'
    if len(found) > 1:
        return f'function "{dotted(name)}" is overloaded. Overloaded functions are not supported'
    return found[0]


def unservable(function: Function, tracked: Tracked, configuration: dict[str, Any]) -> str | None:
    label = f'the function "{dotted(function.name)}" cannot be tracked'
    if function.variadic:
        return f"{label} because function with VARIADIC parameters are not supported"
    if function.table is None or function.has_outputs:
        return f"{label} because the function does not return a table"
    if function.table not in tracked.tables:
        return f"{label} because the table it returns is not tracked"
    if configuration.get("exposed_as") == "mutation" and not function.volatile:
        return f"{label} because it is to be a mutation, but is not marked VOLATILE"
    reason = _no_session(function, configuration.get("session_argument"))
    return reason and f"{label} because {reason}"


def incomputable(function: Function, tracked: Tracked) -> str | None:
    """Return the reason why a function is no computed field of any table."""
    label = f'the function "{dotted(function.name)}"'
    if function.volatile:
        return f"{label} is of type VOLATILE; cannot be added as a computed field"
    if not function.arguments:
        return f"{label} has no input arguments"
    if function.table is None:
        return None
    target = dotted(function.table)
    if not function.returns_set:
        return f"{label} returning type {target} is not a BASE type"
    if function.table not in tracked.tables:
        return f'{label} returning set of table "{target}" is not tracked or not found in database'
    return None


def misfit(function: Function, table: TrackedTable, definition: dict[str, Any]) -> str | None:
    """Return the reason why a function takes no row of this table, or no session."""
    label, kinds = f'the function "{dotted(function.name)}"', _kinds(function)
    row = definition.get("table_argument") or function.arguments[0].name
    if row not in kinds:
        return f'{label} has no argument "{row}"'
    if kinds[row].sql.replace('"', "") != ".".join(table.name):
        return f'argument "{row}" of {label} is not of the table\'s type "{dotted(table.name)}"'
    return _no_session(function, definition.get("session_argument"))


def _kinds(function: Function) -> dict[str, PgType]:
    return {argument.name: argument.type for argument in function.arguments}


def _no_session(function: Function, name: str | None) -> str | None:
    """Return the reason why an argument cannot be given the session; without one there is none."""
    kinds = _kinds(function)
    if name is None or (name in kinds and kinds[name].name in ("json", "jsonb")):
        return None
    what = "is not of type json" if name in kinds else "is none of the input arguments"
    return f'the session argument "{name}" {what}'
