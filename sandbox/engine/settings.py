"""Settings: command line flags first, then the HASURA_GRAPHQL_* variables Hasura itself reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = "v2.43.0"
TRUE = frozenset({"true", "t", "yes", "y", "1"})


class SettingsError(Exception):
    """A setting that cannot be used; the text names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the engine can be told."""

    database_url: str
    metadata: str
    port: int = 8080
    host: str = "127.0.0.1"
    admin_secret: str | None = None
    jwt_secrets: tuple[dict[str, Any], ...] = ()
    unauthorized_role: str | None = None
    dev_mode: bool = False
    admin_internal_errors: bool = True
    stringify: bool = False
    infer_functions: bool = True
    cors: tuple[str, ...] = ("*",)
    pool_size: int = 20
    body_limit: int = 1024 * 1024
    depth_limit: int = 40
    statement_timeout_ms: int = 30_000
    environ: Mapping[str, str] = field(default_factory=dict)


def read(environ: Mapping[str, str], flags: Mapping[str, Any]) -> Settings:
    """Build the settings; raises SettingsError naming what is missing or wrong."""

    def text(name: str) -> str | None:
        return environ.get(f"HASURA_GRAPHQL_{name}") or None

    def truth(name: str, *, default: bool) -> bool:
        found = text(name)
        return default if found is None else found.lower() in TRUE

    url = flags.get("database_url") or text("DATABASE_URL") or text("METADATA_DATABASE_URL")
    if not url:
        raise SettingsError("no database: give --database-url or HASURA_GRAPHQL_DATABASE_URL")
    directory = flags.get("metadata") or text("METADATA_DIRECTORY")
    if not directory:
        raise SettingsError("no metadata: give --metadata or HASURA_GRAPHQL_METADATA_DIRECTORY")
    return Settings(
        database_url=url,
        metadata=str(directory),
        port=_number(flags.get("port") or text("SERVER_PORT"), 8080),
        host=flags.get("host") or text("SERVER_HOST") or "127.0.0.1",
        admin_secret=text("ADMIN_SECRET") or text("ACCESS_KEY"),
        jwt_secrets=_jwt_secrets(text("JWT_SECRET"), text("JWT_SECRETS")),
        unauthorized_role=text("UNAUTHORIZED_ROLE"),
        dev_mode=truth("DEV_MODE", default=False),
        admin_internal_errors=truth("ADMIN_INTERNAL_ERRORS", default=True),
        stringify=truth("STRINGIFY_NUMERIC_TYPES", default=False),
        infer_functions=truth("INFER_FUNCTION_PERMISSIONS", default=True),
        cors=_origins(text("CORS_DOMAIN"), disabled=truth("DISABLE_CORS", default=False)),
        pool_size=_number(text("PG_CONNECTIONS"), 20),
        body_limit=_number(text("BODY_LIMIT"), 1024 * 1024),
        depth_limit=_number(text("DEPTH_LIMIT"), 40),
        statement_timeout_ms=_number(text("STATEMENT_TIMEOUT_MS"), 30_000),
        environ=environ,
    )


def _number(value: Any, default: int) -> int:
    if value is None:
        return default
    try:
        return int(value)
    except ValueError as error:
        raise SettingsError(f"not a number: {value}") from error


def _origins(text: str | None, *, disabled: bool) -> tuple[str, ...]:
    if disabled:
        return ()
    return tuple(item.strip() for item in (text or "*").split(",") if item.strip())


def _jwt_secrets(one: str | None, many: str | None) -> tuple[dict[str, Any], ...]:
    """Parse the JSON; a secret that is short or empty is refused here, not at the first token."""
    try:
        found = [json.loads(one)] if one else []
        found += json.loads(many) if many else []
    except ValueError as error:
        raise SettingsError("HASURA_GRAPHQL_JWT_SECRET is not JSON") from error
    for secret in found:
        if not isinstance(secret, dict) or not secret.get("key") or not secret.get("type"):
            raise SettingsError("HASURA_GRAPHQL_JWT_SECRET must hold a type and a key")
        if secret["type"].startswith("HS") and len(secret["key"]) < int(secret["type"][2:]) // 8:
            raise SettingsError("the key in HASURA_GRAPHQL_JWT_SECRET is too short for its type")
    return tuple(found)
