"""Every failure a client can see: one error, its stable code, and where in the request it lies."""

from __future__ import annotations

from typing import Any

import asyncpg

# The text a failed permission check carries through Postgres, see compile/mutation.py.
CHECK_FAILED = "check constraint of an insert/update permission has failed"

# What asyncpg says of a text that has no bytes, such as half a surrogate pair in a token's claim.
UNENCODED = "invalid input for query argument"

# Prefixes of the constraint violations.
CONSTRAINTS = {
    "23502": "Not-NULL violation. ",
    "23503": "Foreign key violation. ",
    "23505": "Uniqueness violation. ",
    "23P01": "Exclusion violation. ",
    "23001": "Can not delete or update due to data being referred. ",
}
# States that stand out of their class: a check constraint counts as a permission error.
EXACT = {
    "22025": ("bad-request", ""),
    "23514": ("permission-error", "Check constraint violation. "),
    "42704": ("constraint-error", ""),
}


class EngineError(Exception):
    """One refusal. `extensions` replaces path and code when an action handler chose its own."""

    def __init__(  # noqa: PLR0913 -- an error is one value, and every part but two has a default
        self,
        code: str,
        message: str,
        path: str = "$",
        *,
        status: int = 400,
        internal: Any = None,
        extensions: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.path = path
        self.status = status
        self.internal = internal
        self.extensions = extensions

    def as_graphql(self, *, internal: bool) -> dict[str, Any]:
        """Shape one member of a GraphQL `errors` list."""
        if self.extensions is not None:
            return {"message": self.message, "extensions": self.extensions}
        extensions: dict[str, Any] = {"path": self.path, "code": self.code}
        if internal and self.internal is not None:
            extensions["internal"] = self.internal
        return {"message": self.message, "extensions": extensions}

    def as_plain(self, *, internal: bool) -> dict[str, Any]:
        """Shape the body of a metadata or query call that failed."""
        body: dict[str, Any] = {"path": self.path, "error": self.message, "code": self.code}
        if internal and self.internal is not None:
            body["internal"] = self.internal
        return body


def invalid(message: str, path: str) -> EngineError:
    return EngineError("validation-failed", message, path)


def unparsed(message: str, path: str) -> EngineError:
    return EngineError("parse-failed", message, path)


def from_postgres(error: Exception, path: str, sql: str, arguments: list[Any]) -> EngineError:
    """Translate what Postgres or the way to it raised; only the primary message survives."""
    if isinstance(error, asyncpg.TooManyConnectionsError):
        return EngineError("postgres-max-connections-error", "max connections reached", status=500)
    if not isinstance(error, asyncpg.PostgresError) or isinstance(
        error, asyncpg.PostgresConnectionError
    ):
        return EngineError("postgres-error", "connection error", status=500)
    state = error.sqlstate or ""
    message = str(error.args[0]) if error.args else ""
    if message.startswith(UNENCODED):
        return EngineError("data-exception", 'invalid byte sequence for encoding "UTF8"', path)
    if state == "22P02" and CHECK_FAILED in message:
        return EngineError("permission-error", CHECK_FAILED, path)
    code, text = _of_sqlstate(state, message)
    if code != "unexpected":
        return EngineError(code, text, path)
    internal = {
        "statement": sql,
        "prepared": True,
        "arguments": [str(argument) for argument in arguments],
        "error": describe(error),
    }
    return EngineError(code, text, path, status=500, internal=internal)


def describe(error: asyncpg.PostgresError) -> dict[str, Any]:
    """Shape what Postgres said, for those who may see it."""
    return {
        "exec_status": "FatalError",
        "status_code": error.sqlstate,
        "message": str(error.args[0]) if error.args else "",
        "description": getattr(error, "detail", None),
        "hint": getattr(error, "hint", None),
    }


def _of_sqlstate(state: str, message: str) -> tuple[str, str]:
    if state in EXACT:
        code, prefix = EXACT[state]
        return code, prefix + message
    if state == "42P10":
        text = "there is no unique or exclusion constraint on target column(s)"
        return "constraint-error", text
    if state.startswith("22"):
        return "data-exception", message
    if state.startswith("23"):
        return "constraint-violation", CONSTRAINTS.get(state, "") + message
    return "unexpected", "database query error"
