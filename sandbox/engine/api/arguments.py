"""Read the arguments of a call: what is missing or of the wrong kind is refused with its place."""

from __future__ import annotations

from typing import Any

from sandbox.engine.errors import EngineError
from sandbox.engine.metadata import shape
from sandbox.engine.tracking.catalog import Name
from sandbox.engine.tracking.tracked import dotted, name_of

Args = dict[str, Any]
MISSING = object()


def refuse(code: str, message: str) -> EngineError:
    return EngineError(code, message, "$.args")


def read(args: Args, key: str, check: shape.Check, default: Any = MISSING) -> Any:
    """Return an argument of the expected shape, or the default where it is missing or null."""
    if args.get(key) is None and default is not MISSING:
        return default
    if key not in args:
        raise refuse("parse-failed", f'key "{key}" not found')
    try:
        shape.check(args[key], check, f"$.args.{key}")
    except shape.ShapeError as error:
        raise EngineError("parse-failed", error.message, error.path) from error
    return args[key]


def text(args: Args, key: str, default: Any = MISSING) -> Any:
    return read(args, key, shape.TEXT, default)


def flag(args: Args, key: str, *, default: bool = False) -> bool:
    return bool(read(args, key, shape.kind(bool), default))


def number(args: Args, key: str, default: int) -> int:
    value = int(read(args, key, shape.kind(int), default))
    if value < 0:
        raise EngineError("parse-failed", "unexpected negative value", f"$.args.{key}")
    return value


def reference(args: Args, key: str = "table") -> Any:
    """Return `name` or `{schema, name}` as `{name, schema}`, the way metadata spells it."""
    schema, name = name_of(read(args, key, shape.NAME))
    return {"name": name, "schema": schema}


def source(document: dict[str, Any], args: Args) -> dict[str, Any]:
    name = text(args, "source", "default")
    for item in document["sources"]:
        if item["name"] == name:
            found: dict[str, Any] = item
            return found
    raise refuse("not-exists", f'source with name "{name}" does not exist')


def tracked_table(document: dict[str, Any], args: Args, key: str = "table") -> dict[str, Any]:
    """Return the entry of the table that is meant."""
    name = name_of(reference(args, key))
    owner = source(document, args)
    found = find_table(owner, name)
    if found is None:
        text = f'table "{dotted(name)}" does not exist in source: {owner["name"]}'
        raise refuse("not-exists", text)
    return found


def find_table(owner: dict[str, Any], name: Name) -> dict[str, Any] | None:
    entries: list[dict[str, Any]] = owner.get("tables") or []
    return next((item for item in entries if name_of(item["table"]) == name), None)


def find_function(owner: dict[str, Any], name: Name) -> dict[str, Any] | None:
    entries: list[dict[str, Any]] = owner.get("functions") or []
    return next((item for item in entries if name_of(item["function"]) == name), None)


def named(entries: list[Any] | None, name: str, key: str = "name") -> dict[str, Any] | None:
    return next((item for item in entries or [] if item[key] == name), None)


def items(holder: dict[str, Any], key: str) -> list[Any]:
    """Return the list under a key; where there is none, it is made."""
    if not holder.get(key):
        holder[key] = []
    found: list[Any] = holder[key]
    return found


def drop(holder: dict[str, Any], key: str, item: Any) -> None:
    """Take an item out of the list under a key; an empty list goes with it."""
    holder[key] = [other for other in holder[key] if other is not item]
    if not holder[key]:
        del holder[key]


def given(args: Args, *keys: str) -> dict[str, Any]:
    """Return the arguments that are to be kept, without those that are missing or null."""
    return {key: args[key] for key in keys if args.get(key) is not None}
