"""Write a document as a Hasura CLI project's metadata directory, which reads as the same document.

Objects keep the order they have. What is empty in a table is left out, as the CLI leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import actions_text
from .order import CRON_TRIGGER, FUNCTION, NAME, SOURCE, TABLE, ordered
from .yaml_files import INCLUDE
from .yaml_text import dump

LISTS = {
    "allow_list": "allowlist",
    "inherited_roles": "inherited_roles",
    "query_collections": "query_collections",
    "remote_schemas": "remote_schemas",
    "rest_endpoints": "rest_endpoints",
}
OBJECTS = ("api_limits", "backend_configs", "network", "opentelemetry")
INTROSPECTION: dict[str, Any] = {"disabled_for_roles": []}


def write(document: dict[str, Any], directory: Path) -> None:
    """Write every file; tables and functions that the document does not have lose theirs."""
    texts = dict(files(document))
    for path, text in texts.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="\n")
    for kind in ("tables", "functions"):
        for file in directory.glob(f"databases/*/{kind}/*.yaml"):
            if file.relative_to(directory).as_posix() not in texts:
                file.unlink()


def files(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Return the files by their paths in the directory."""
    yield "version.yaml", dump({"version": document.get("version", 3)})
    yield from _databases(document["sources"])
    actions, types = document.get("actions") or [], document.get("custom_types") or {}
    yield "actions.graphql", actions_text.sdl(actions, types)
    yield "actions.yaml", dump(actions_text.rest(actions, types))
    crons = [ordered(item, CRON_TRIGGER) for item in document.get("cron_triggers") or []]
    yield "cron_triggers.yaml", dump(crons)
    for name, key in LISTS.items():
        yield f"{name}.yaml", dump(document.get(key) or [])
    for name in OBJECTS:
        yield f"{name}.yaml", dump(document.get(name) or {})
    introspection = document.get("graphql_schema_introspection") or INTROSPECTION
    yield "graphql_schema_introspection.yaml", dump(introspection)
    if document.get("metrics_config"):
        yield "metrics_config.yaml", dump(document["metrics_config"])


def _databases(sources: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    listed = []
    for source in sources:
        kept = {key: value for key, value in source.items() if key not in ("tables", "functions")}
        entry = ordered(kept, SOURCE, empty=("customization",))
        entry["tables"] = f"{INCLUDE}{source['name']}/tables/tables.yaml"
        yield from _included(source, "tables", "table")
        if source.get("functions"):
            entry["functions"] = f"{INCLUDE}{source['name']}/functions/functions.yaml"
            yield from _included(source, "functions", "function")
        listed.append(entry)
    yield "databases/databases.yaml", dump(listed)


def _included(source: dict[str, Any], key: str, word: str) -> Iterator[tuple[str, str]]:
    """Give each table or function a file, and list them in one more."""
    place, names = f"databases/{source['name']}/{key}", set[str]()
    order, includes = (TABLE if word == "table" else FUNCTION), []
    for item in source.get(key) or []:
        name = _file_name(item[word], names)
        names.add(name)
        spelled = item | {word: _spelled(item[word])}
        yield f"{place}/{name}", dump(ordered(spelled, order, empty=order))
        includes.append(f"{INCLUDE}{name}")
    yield f"{place}/{key}.yaml", dump(includes)


def _spelled(reference: Any) -> Any:
    return ordered(reference, NAME) if isinstance(reference, dict) else reference


def _file_name(reference: Any, taken: set[str]) -> str:
    """Name a file by schema and name, and by a number where two would have one name."""
    parts = ("public", reference)
    if isinstance(reference, dict):
        parts = (reference.get("schema", "public"), reference["name"])
    stem = "_".join(str(part).replace("/", "_") for part in parts)
    candidates = (f"{stem}{suffix}.yaml" for suffix in ("", *(f"_{n}" for n in range(2, 1000))))
    reserved = {name.lower() for name in taken} | {"tables.yaml", "functions.yaml"}
    return next(name for name in candidates if name.lower() not in reserved)
