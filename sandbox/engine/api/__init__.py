"""The metadata API and run_sql: one call, one function, found by its name."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from sandbox.engine.engine import Engine
from sandbox.engine.errors import EngineError, describe
from sandbox.engine.metadata import MetadataError

Handler = Callable[[Engine, dict[str, Any], int], Awaitable[Any]]
CALLS: dict[str, Handler] = {}


def call(handler: Handler) -> Handler:
    """Register a function under its own name."""
    CALLS[handler.__name__] = handler
    return handler


async def dispatch(engine: Engine, body: Any) -> Any:
    """Run one call; `bulk` runs several."""
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        raise EngineError("parse-failed", 'key "type" not found')
    handler = CALLS.get(body["type"])
    if handler is None:
        text = f"unknown metadata command {body['type']}"
        raise EngineError("parse-failed", text, "$.type")
    args = body.get("args")
    return await handler(engine, {} if args is None else args, body.get("version") or 1)


@call
async def bulk(engine: Engine, args: Any, _version: int) -> Any:
    if not isinstance(args, list):
        raise EngineError("parse-failed", "a list of calls is expected", "$.args")
    return [await dispatch(engine, item) for item in args]


@call
async def export_metadata(engine: Engine, _args: Any, version: int) -> Any:
    document = engine.state.document
    return {"resource_version": 1, "metadata": document} if version == 2 else document


def _consistency(engine: Engine) -> dict[str, Any]:
    found = engine.state.tracked.inconsistent
    return {"is_consistent": not found, "inconsistent_objects": found}


@call
async def get_inconsistent_metadata(engine: Engine, _args: Any, _version: int) -> Any:
    return _consistency(engine)


@call
async def reload_metadata(engine: Engine, _args: Any, _version: int) -> Any:
    try:
        await engine.reload()
    except MetadataError as error:
        raise EngineError("unexpected", str(error), status=500) from error
    found = _consistency(engine)
    if found["is_consistent"]:
        del found["inconsistent_objects"]
    return {"message": "success"} | found


@call
async def run_sql(engine: Engine, args: Any, _version: int) -> Any:
    """Run a script as one transaction; the rows of its last statement, as text."""
    sql = args.get("sql") if isinstance(args, dict) else None
    if not isinstance(sql, str):
        raise EngineError("parse-failed", 'key "sql" not found', "$.args")
    read_only = bool(args.get("read_only"))
    async with engine.pool.acquire() as connection:
        try:
            async with connection.transaction(readonly=read_only):
                answer = await _rows(connection, sql)
        except asyncpg.PostgresError as error:
            raise _sql_failed(error, sql) from error
    if not read_only:
        await engine.refresh()
    return answer


async def _rows(connection: Any, sql: str) -> dict[str, Any]:
    """Tell a query from a script by preparing it: only a single statement can be prepared."""
    try:
        async with connection.transaction():
            prepared = await connection.prepare(sql)
    except asyncpg.PostgresSyntaxError:
        await connection.execute(sql)
        return {"result_type": "CommandOk", "result": None}
    names = [attribute.name for attribute in prepared.get_attributes()]
    if not names:
        await connection.execute(sql)
        return {"result_type": "CommandOk", "result": None}
    rows = [[_text(value) for value in row] for row in await prepared.fetch()]
    return {"result_type": "TuplesOk", "result": [names, *rows]}


def _text(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, (list, dict)):
        return json.dumps(value, default=str)
    return str(value)


def _sql_failed(error: asyncpg.PostgresError, sql: str) -> EngineError:
    internal = {"statement": sql, "prepared": False, "arguments": [], "error": describe(error)}
    state = error.sqlstate or ""
    if state.startswith("40"):
        text = "serialization failure due to concurrent update"
        return EngineError("concurrent-update", text, internal=internal)
    if state.startswith("2BP"):
        text = "cannot drop due to dependent objects"
        return EngineError("dependency-error", text, internal=internal)
    return EngineError("postgres-error", "query execution failed", internal=internal)
