"""Calls about the metadata as a whole.

The directory is what is served at the start. Calls change what is in memory, and that lives until
the process ends: whoever wants to keep it exports it, or has it written to a directory.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from sandbox.engine.metadata import MetadataError, contents, parts, shape
from sandbox.engine.tracking.tracked import name_of

from .arguments import Args, flag, read, refuse
from .calls import SUCCESS, command, query, versioned
from .draft import Document, Draft

VERSION = 3


@versioned(writes=False)
async def export_metadata(draft: Draft, _args: Any, version: int) -> Any:
    if version != 2:
        return draft.document
    return {"resource_version": draft.engine.version, "metadata": draft.document}


@versioned(writes=True)
async def replace_metadata(draft: Draft, args: Args, version: int) -> Any:
    """Take a whole document. Only the second form answers, and may allow, what is inconsistent."""
    if version != 2 and "metadata" not in args:
        await draft.replace(_checked(args), strict=True)
        return SUCCESS
    strict = not flag(args, "allow_inconsistent_metadata")
    document = _checked(read(args, "metadata", shape.OBJECT))
    faults = await draft.replace(document, strict=strict)
    return {"is_consistent": not faults, "inconsistent_objects": faults}


@command
async def clear_metadata(draft: Draft, _args: Args) -> Any:
    """Leave nothing but the sources, which track nothing."""
    kept = ("name", "kind", "configuration")
    sources = [
        {key: source[key] for key in kept if key in source} | {"tables": []}
        for source in draft.document["sources"]
    ]
    await draft.replace({"version": VERSION, "sources": sources}, strict=False)
    return SUCCESS


@command
async def reload_metadata(draft: Draft, args: Args) -> Any:
    """Read the database again. The directory too, unless calls have changed the metadata."""
    again = read(args, "recreate_event_triggers", shape.kind(bool, list), default=False)
    await draft.keep()
    try:
        await draft.engine.reload(triggers=bool(again))
    except MetadataError as error:
        raise refuse("unexpected", str(error)) from error
    draft.state = draft.engine.state
    found = _consistency(draft)
    if found["is_consistent"]:
        del found["inconsistent_objects"]
    return SUCCESS | found


@query
async def get_inconsistent_metadata(draft: Draft, _args: Args) -> Any:
    return _consistency(draft)


@command
async def drop_inconsistent_metadata(draft: Draft, _args: Args) -> Any:
    """Take out what is inconsistent, and what becomes inconsistent by that."""
    document = deepcopy(draft.document)
    built = await draft.build(document)
    while found := parts.find(document, built.tracked.inconsistent):
        parts.take_out(found)
        built = await draft.build(document)
    draft.state = built
    return SUCCESS


def _consistency(draft: Draft) -> dict[str, Any]:
    found = draft.state.tracked.inconsistent
    return {"is_consistent": not found, "inconsistent_objects": found}


def _checked(given: Document) -> Document:
    """Refuse another version's metadata, and objects that are declared twice."""
    if given.get("version") != VERSION:
        version = given.get("version")
        raise refuse("parse-failed", f"expected metadata of version {VERSION}, not of {version}")
    try:
        shape.check(given, contents.DOCUMENT, "$.args.metadata")
    except shape.ShapeError as error:
        raise refuse("parse-failed", f"{error.message} at {error.path}") from error
    for kind, names in _declared(given):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            text = f"multiple declarations exist for the following {kind}: {', '.join(twice)}"
            raise refuse("parse-failed", text)
    return {"version": VERSION, **given}


def _declared(document: Document) -> Iterator[tuple[str, list[str]]]:
    """List what must be declared once, by kind."""
    yield "sources", [source["name"] for source in document["sources"]]
    for source in document["sources"]:
        tables = source.get("tables") or []
        yield "tables", [".".join(name_of(item["table"])) for item in tables]
        functions = source.get("functions") or []
        yield "functions", [".".join(name_of(item["function"])) for item in functions]
        for table in tables:
            related = (*(table.get("object_relationships") or []),)
            related += (*(table.get("array_relationships") or []),)
            yield "relationships", [item["name"] for item in related]
            for kind in parts.PERMISSION_KINDS:
                entries = table.get(f"{kind}_permissions") or []
                yield f"{kind} permissions", [item["role"] for item in entries]
    for key, kind in (("actions", "actions"), ("cron_triggers", "cron triggers")):
        yield kind, [item["name"] for item in document.get(key) or []]
