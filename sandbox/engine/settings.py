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
class Pace:
    """How often what is watched is read again, and for how many watchers in one statement.

    `patience_ms` is how long such a statement may take before its slow watchers are read apart.
    """

    interval_ms: int = 1000
    batch: int = 100
    patience_ms: int = 2000


@dataclass(frozen=True, slots=True)
class Sockets:
    """What WebSockets are held to. The last four are this engine's own bounds."""

    keepalive_seconds: int = 5
    init_timeout_seconds: int = 3
    read_cookie: bool = False
    close_on_change: bool = True
    most: int = 2000  # that are open
    most_operations: int = 100  # of one socket, its subscriptions among them
    most_waiting_frames: int = 1000
    most_waiting_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a request may cost, whoever asks. Hasura CE leaves such limits to a proxy.

    They are set by HASURA_GRAPHQL_DEPTH_LIMIT (of selections and of values), _ROOT_FIELD_LIMIT,
    _ALIAS_LIMIT, _FIELD_LIMIT (fragments put in), _QUERY_LENGTH_LIMIT (characters), _TOKEN_LIMIT,
    _LIST_LIMIT (items of one list, keys of one object), _VALUE_LIMIT (of all arguments, those of a
    variable as often as it is named), _CONDITION_LIMIT (objects in variables that are conditions,
    counted so, too), _JOIN_LIMIT (relationships in the conditions of one list of rows),
    _BATCH_LIMIT and _ROW_LIMIT; the body has _BODY_LIMIT (bytes).

    The defaults let pass whatever a console, an introspection, a generated client or a script that
    uses variables sends, and end what would keep the engine busy for long. What strangers may send
    is for a front door to say, in much smaller numbers. `rows` is a limit as a select permission
    has one, for every role but admin; 0 is none, for a cap that nobody asked for would lose rows in
    silence.
    """

    depth: int = 40
    root_fields: int = 100
    aliases: int = 250
    fields: int = 5_000
    characters: int = 100_000
    tokens: int = 2_500
    list_items: int = 10_000
    values: int = 60_000
    conditions: int = 5_000
    joins: int = 50
    batch: int = 100
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the engine can be told."""

    database_url: str
    metadata: str
    port: int = 8080
    host: str = "127.0.0.1"
    admin_secret: str | None = None
    admin_secrets: tuple[str, ...] = ()
    auth_hook: str | None = None
    auth_hook_mode: str = "GET"
    auth_hook_body: bool = True
    jwt_secrets: tuple[dict[str, Any], ...] = ()
    unauthorized_role: str | None = None
    dev_mode: bool = False
    admin_internal_errors: bool = True
    console: bool = False
    stringify: bool = False
    infer_functions: bool = True
    cors: tuple[str, ...] = ("*",)
    pool_size: int = 20
    body_limit: int = 1024 * 1024
    bounds: Bounds = Bounds()
    statement_timeout_ms: int = 30_000
    live: Pace = Pace()
    streaming: Pace = Pace()
    sockets: Sockets = Sockets()
    environ: Mapping[str, str] = field(default_factory=dict)


class _Given:
    """The HASURA_GRAPHQL_* variables; an empty one is as good as none."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ

    def text(self, name: str) -> str | None:
        return self.environ.get(f"HASURA_GRAPHQL_{name}") or None

    def truth(self, name: str, *, default: bool) -> bool:
        found = self.text(name)
        return default if found is None else found.lower() in TRUE

    def positive(self, name: str, default: int) -> int:
        found = _number(self.text(name), default)
        if found < 1:
            raise SettingsError(f"HASURA_GRAPHQL_{name} must be at least 1")
        return found


def read(environ: Mapping[str, str], flags: Mapping[str, Any]) -> Settings:
    """Build the settings; raises SettingsError naming what is missing or wrong."""
    given = _Given(environ)
    text, truth = given.text, given.truth
    secrets = _admin_secrets(text("ADMIN_SECRET") or text("ACCESS_KEY"), text("ADMIN_SECRETS"))
    found = Settings(
        database_url=_database_url(given, flags),
        metadata=_metadata(given, flags),
        port=_number(flags.get("port") or text("SERVER_PORT"), 8080),
        host=flags.get("host") or text("SERVER_HOST") or "127.0.0.1",
        admin_secret=next(iter(secrets), None),
        admin_secrets=secrets,
        auth_hook=text("AUTH_HOOK"),
        auth_hook_mode=_hook_mode(text("AUTH_HOOK_MODE") or text("AUTH_HOOK_TYPE")),
        auth_hook_body=truth("AUTH_HOOK_SEND_REQUEST_BODY", default=True),
        jwt_secrets=_jwt_secrets(text("JWT_SECRET"), text("JWT_SECRETS")),
        unauthorized_role=text("UNAUTHORIZED_ROLE"),
        dev_mode=truth("DEV_MODE", default=False),
        admin_internal_errors=truth("ADMIN_INTERNAL_ERRORS", default=True),
        console=truth("ENABLE_CONSOLE", default=False),
        stringify=truth("STRINGIFY_NUMERIC_TYPES", default=False),
        infer_functions=truth("INFER_FUNCTION_PERMISSIONS", default=True),
        cors=_origins(text("CORS_DOMAIN"), disabled=truth("DISABLE_CORS", default=False)),
        pool_size=given.positive("PG_CONNECTIONS", 20),
        body_limit=given.positive("BODY_LIMIT", 1024 * 1024),
        bounds=_bounds(given),
        statement_timeout_ms=given.positive("STATEMENT_TIMEOUT_MS", 30_000),
        live=_pace(given, "LIVE_QUERIES"),
        streaming=_pace(given, "STREAMING_QUERIES"),
        sockets=_sockets(given),
        environ=environ,
    )
    _check_modes(found)
    return found


def _number(value: Any, default: int) -> int:
    if value is None:
        return default
    try:
        return int(value)
    except ValueError as error:
        raise SettingsError(f"not a number: {value}") from error


def _database_url(given: _Given, flags: Mapping[str, Any]) -> str:
    url = flags.get("database_url") or given.text("DATABASE_URL")
    url = url or given.text("METADATA_DATABASE_URL")
    if not url:
        raise SettingsError("no database: give --database-url or HASURA_GRAPHQL_DATABASE_URL")
    return str(url)


def _metadata(given: _Given, flags: Mapping[str, Any]) -> str:
    directory = flags.get("metadata") or given.text("METADATA_DIRECTORY")
    if not directory:
        raise SettingsError("no metadata: give --metadata or HASURA_GRAPHQL_METADATA_DIRECTORY")
    return str(directory)


def _sockets(given: _Given) -> Sockets:
    return Sockets(
        keepalive_seconds=given.positive("WEBSOCKET_KEEPALIVE", 5),
        init_timeout_seconds=given.positive("WEBSOCKET_CONNECTION_INIT_TIMEOUT", 3),
        read_cookie=given.truth("WS_READ_COOKIE", default=False),
        close_on_change=given.truth("CLOSE_WEBSOCKETS_ON_METADATA_CHANGE", default=True),
        most=given.positive("WEBSOCKET_CONNECTIONS_LIMIT", 2000),
        most_operations=given.positive("WEBSOCKET_OPERATIONS_LIMIT", 100),
        most_waiting_frames=given.positive("WEBSOCKET_WAITING_FRAMES_LIMIT", 1000),
        most_waiting_bytes=given.positive("WEBSOCKET_WAITING_BYTES_LIMIT", 64 * 1024 * 1024),
    )


def _bounds(given: _Given) -> Bounds:
    usual = Bounds()
    rows = _number(given.text("ROW_LIMIT"), usual.rows)
    if rows < 0:
        raise SettingsError("HASURA_GRAPHQL_ROW_LIMIT must be at least 0, which is none")
    return Bounds(
        depth=given.positive("DEPTH_LIMIT", usual.depth),
        root_fields=given.positive("ROOT_FIELD_LIMIT", usual.root_fields),
        aliases=given.positive("ALIAS_LIMIT", usual.aliases),
        fields=given.positive("FIELD_LIMIT", usual.fields),
        characters=given.positive("QUERY_LENGTH_LIMIT", usual.characters),
        tokens=given.positive("TOKEN_LIMIT", usual.tokens),
        list_items=given.positive("LIST_LIMIT", usual.list_items),
        values=given.positive("VALUE_LIMIT", usual.values),
        conditions=given.positive("CONDITION_LIMIT", usual.conditions),
        joins=given.positive("JOIN_LIMIT", usual.joins),
        batch=given.positive("BATCH_LIMIT", usual.batch),
        rows=rows,
    )


def _pace(given: _Given, kind: str) -> Pace:
    return Pace(
        given.positive(f"{kind}_MULTIPLEXED_REFETCH_INTERVAL", 1000),
        given.positive(f"{kind}_MULTIPLEXED_BATCH_SIZE", 100),
        given.positive("SUBSCRIPTIONS_PATIENCE_MS", 2000),
    )


def _origins(text: str | None, *, disabled: bool) -> tuple[str, ...]:
    if disabled:
        return ()
    return tuple(item.strip() for item in (text or "*").split(",") if item.strip())


def _admin_secrets(one: str | None, many: str | None) -> tuple[str, ...]:
    try:
        found = json.loads(many) if many else []
    except ValueError as error:
        raise SettingsError("HASURA_GRAPHQL_ADMIN_SECRETS is not JSON") from error
    if not isinstance(found, list) or not all(isinstance(item, str) and item for item in found):
        raise SettingsError("HASURA_GRAPHQL_ADMIN_SECRETS must be a list of texts")
    return tuple(dict.fromkeys([*([one] if one else []), *found]))


def _hook_mode(text: str | None) -> str:
    mode = (text or "GET").upper()
    if mode not in ("GET", "POST"):
        raise SettingsError(f"HASURA_GRAPHQL_AUTH_HOOK_MODE must be GET or POST, not {text}")
    return mode


def _check_modes(found: Settings) -> None:
    """Refuse what Hasura refuses: ways to log in that contradict each other or protect nothing."""
    role = "HASURA_GRAPHQL_UNAUTHORIZED_ROLE"
    wanted = {
        "HASURA_GRAPHQL_JWT_SECRET": found.jwt_secrets,
        "HASURA_GRAPHQL_AUTH_HOOK": found.auth_hook,
        role: found.unauthorized_role,
    }
    for name, value in wanted.items():
        if value and not found.admin_secrets:
            raise SettingsError(f"{name} requires HASURA_GRAPHQL_ADMIN_SECRET to be set")
    if found.auth_hook and found.jwt_secrets:
        raise SettingsError("both webhook and JWT mode cannot be enabled at the same time")
    if found.auth_hook and found.unauthorized_role:
        raise SettingsError(f"{role} is not allowed when HASURA_GRAPHQL_AUTH_HOOK is set")


def _jwt_secrets(one: str | None, many: str | None) -> tuple[dict[str, Any], ...]:
    """Parse the JSON; a secret that is short or empty is refused here, not at the first token."""
    try:
        found = [json.loads(one)] if one else []
        found += json.loads(many) if many else []
    except (ValueError, TypeError) as error:
        raise SettingsError("HASURA_GRAPHQL_JWT_SECRET is not JSON") from error
    for secret in found:
        _check_jwt_secret(secret)
    return tuple(found)


def _check_jwt_secret(secret: Any) -> None:
    """Check what is there; what the key and the rest mean is for auth to judge."""
    if not isinstance(secret, dict):
        raise SettingsError("HASURA_GRAPHQL_JWT_SECRET must hold an object")
    if secret.get("jwk_url"):
        if secret.get("key"):
            raise SettingsError("HASURA_GRAPHQL_JWT_SECRET: key, jwk_url both cannot be present")
        return
    key, kind = secret.get("key"), secret.get("type")
    if not key or not isinstance(kind, str) or not kind:
        raise SettingsError("HASURA_GRAPHQL_JWT_SECRET must hold a type and a key, or a jwk_url")
    if kind.startswith("HS") and kind[2:].isdigit() and len(str(key)) < int(kind[2:]) // 8:
        raise SettingsError("the key in HASURA_GRAPHQL_JWT_SECRET is too short for its type")
