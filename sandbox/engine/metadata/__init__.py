"""Load a Hasura CLI project's metadata directory (config v3) as one v3 metadata document."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from . import actions_sdl, contents, shape, yaml_files
from .yaml_files import MetadataError

__all__ = ["MetadataError", "expand", "headers", "load", "webhook"]

VERSION = 3

# File, the document's key, and what it holds.
LISTS = {
    "allow_list": "allowlist",
    "cron_triggers": "cron_triggers",
    "inherited_roles": "inherited_roles",
    "query_collections": "query_collections",
    "remote_schemas": "remote_schemas",
    "rest_endpoints": "rest_endpoints",
}
OBJECTS = (
    "api_limits",
    "backend_configs",
    "graphql_schema_introspection",
    "metrics_config",
    "network",
    "opentelemetry",
)
TEMPLATE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def load(directory: Path) -> dict[str, Any]:
    """Read the directory as `export_metadata` of the server would answer it."""
    _check_version(directory)
    actions_file = directory / "actions.yaml"
    actions, types = actions_sdl.merge(
        _mapping(actions_file),
        actions_file,
        actions_sdl.Sdl(directory / "actions.graphql"),
    )
    document = {
        "version": VERSION,
        "sources": _sources(directory),
        "actions": actions,
        "custom_types": types,
        **{key: _list(directory / f"{name}.yaml") for name, key in LISTS.items()},
        **{name: _mapping(directory / f"{name}.yaml") for name in OBJECTS},
    }
    try:
        shape.check(document, contents.DOCUMENT)
    except shape.ShapeError as error:
        raise MetadataError(f"{directory}: {error.message} at {error.path}") from error
    return document


def expand(template: str, environ: Mapping[str, str]) -> str:
    """Replace each {{NAME}} by the environment's value."""

    def value(match: re.Match[str]) -> str:
        return _variable(match[1], environ, template)

    return TEMPLATE.sub(value, template)


def headers(items: Iterable[dict[str, Any]] | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Resolve the headers of an action or trigger, each given as value or value_from_env."""
    resolved = {}
    for item in items or ():
        if (variable := item.get("value_from_env")) is not None:
            resolved[item["name"]] = _variable(variable, environ, f"header {item['name']}")
        else:
            resolved[item["name"]] = expand(str(item.get("value", "")), environ)
    return resolved


def webhook(item: dict[str, Any], environ: Mapping[str, str]) -> str:
    """Resolve where a trigger is delivered."""
    variable = item.get("webhook_from_env")
    url = item.get("webhook")
    if isinstance(url, dict):  # create_scheduled_event and cron triggers may say {from_env: NAME}
        variable = url.get("from_env")
    if variable is not None:
        return _variable(variable, environ, f"trigger {item.get('name')}")
    if not url:
        raise MetadataError(f"trigger {item.get('name')} has no webhook")
    return expand(url, environ)


def _variable(name: str, environ: Mapping[str, str], user: str) -> str:
    if name not in environ:
        raise MetadataError(f"environment variable {name} is not set, {user} needs it")
    return environ[name]


def _check_version(directory: Path) -> None:
    if not directory.is_dir():
        raise MetadataError(f"there is no metadata directory {directory}")
    file = directory / "version.yaml"
    if not file.exists() and not (directory / "databases" / "databases.yaml").exists():
        raise MetadataError(f"{directory} is no metadata directory: it has no version.yaml")
    version = _mapping(file).get("version", VERSION)
    if version != VERSION:
        raise MetadataError(f"{file}: version {version} is not supported, only {VERSION}")


def _sources(directory: Path) -> list[dict[str, Any]]:
    file = directory / "databases" / "databases.yaml"
    sources = []
    for source in _list(file):
        if not {"name", "kind"} <= source.keys():
            raise MetadataError(f"{file}: a source needs a name and a kind")
        tables = _items(source.get("tables"), file, "table")
        functions = _items(source.get("functions"), file, "function")
        sources.append({**source, "tables": tables, "functions": functions})
    return sources


def _items(value: Any, file: Path, key: str) -> list[dict[str, Any]]:
    """Check that a source's tables or functions are objects that say which one they mean."""
    for item in value or []:
        if not isinstance(item, dict) or key not in item:
            raise MetadataError(f"{file}: every {key} needs the key {key}: {item}")
    return list(value or [])


def _list(file: Path) -> list[dict[str, Any]]:
    value = yaml_files.read(file) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise MetadataError(f"{file}: a list of objects is expected")
    return value


def _mapping(file: Path) -> dict[str, Any]:
    value = yaml_files.read(file) or {}
    if not isinstance(value, dict):
        raise MetadataError(f"{file}: an object is expected")
    return value
