"""The pool: connections that stay prepared, and that come back by themselves with Postgres."""

from __future__ import annotations

from typing import Any

import asyncpg

from .settings import Settings

# Both sides of each connection keep up to a thousand statements: a client must not choose how long
# these are.
LONGEST_KEPT = 20_000


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """A pooled connection that is not reset: the engine changes no session setting."""

    __slots__ = ()

    def get_reset_query(self) -> str:
        return ""


async def open_pool(settings: Settings, isolation: str | None = None) -> asyncpg.Pool:
    """Open the pool with one connection; the rest open when they are needed."""
    server = {
        "application_name": "hasura-compatible engine",
        "jit": "off",
        "statement_timeout": str(settings.statement_timeout_ms),
        "engine.looks_itself": "on",  # for events, once it has changed something
    }
    if isolation:
        server["default_transaction_isolation"] = isolation.replace("-", " ")
    return await asyncpg.create_pool(
        settings.database_url,
        min_size=1,
        max_size=settings.pool_size,
        max_queries=2**40,
        connection_class=Connection,
        statement_cache_size=1000,
        max_cached_statement_lifetime=0,
        max_cacheable_statement_size=LONGEST_KEPT,
        timeout=10,
        server_settings=server,
    )


# What the client side of a connection that is gone raises: nothing was sent.
UNSENT: tuple[type[Exception], ...] = (asyncpg.InterfaceError, asyncpg.InternalClientError)

# What a connection that has gone away raises, at once or on its next use.
LOST: tuple[type[Exception], ...] = (
    *UNSENT,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    OSError,
)


def isolation_of(document: dict[str, Any]) -> str | None:
    """Return the isolation level of the first source, None for the database's own."""
    for source in document.get("sources") or []:
        info = (source.get("configuration") or {}).get("connection_info") or {}
        level = info.get("isolation_level")
        return str(level) if level else None
    return None
