"""How Postgres would answer a query: its statements, and the plans for them."""

from __future__ import annotations

from typing import Any

from sandbox.engine.compile.steps import Sql
from sandbox.engine.documents import requests
from sandbox.engine.engine import Engine, Planned
from sandbox.engine.errors import EngineError, from_postgres
from sandbox.engine.execution.execute import BROKEN
from sandbox.engine.session import ADMIN, Session


async def explain(engine: Engine, body: Any) -> list[dict[str, Any]]:
    """Explain each root field of a query, as the user whose session variables are given."""
    if not isinstance(body, dict) or "query" not in body:
        raise EngineError("parse-failed", 'key "query" not found')
    planned = engine.planned(requests.read(body["query"], "$.query"), _session(body.get("user")))
    if planned.plan.mutation or planned.plan.subscription:
        raise EngineError("invalid-params", "only queries can be explained")
    return [await _field(engine, planned, step) for step in planned.plan.steps]


def _session(user: Any) -> Session:
    if user is not None and not isinstance(user, dict):
        raise EngineError("parse-failed", "parsing failed, expected Object", "$.user")
    variables = {name.lower(): str(value) for name, value in (user or {}).items()}
    role = variables.setdefault("x-hasura-role", ADMIN)
    return Session(role, variables)


async def _field(engine: Engine, planned: Planned, step: Any) -> dict[str, Any]:
    """Explain one statement; what is no statement has nothing to explain."""
    if not isinstance(step, Sql):
        return {"field": step.key, "sql": None, "plan": None}
    arguments = [bind(planned.call.leaves, planned.call.session) for bind in step.binds]
    try:
        rows = await engine.pool.fetch(f"EXPLAIN (FORMAT TEXT) {step.sql}", *arguments)
    except BROKEN as error:
        raise from_postgres(error, step.path, step.sql, arguments) from error
    return {"field": step.key, "sql": step.sql, "plan": [row[0] for row in rows]}
