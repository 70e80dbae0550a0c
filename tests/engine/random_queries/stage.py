"""Where random worlds are played: one database, one engine, and what they answer."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import psycopg
from engine import harness
from psycopg import sql

from .building import create, metadata
from .documents import Request, body
from .evaluation import AnySpelling, Unordered
from .values import Number, shown, sql_text
from .worlds import World


class Stage:
    """The database holds one world at a time."""

    def __init__(self, served: harness.Served, connection: psycopg.Connection[Any]) -> None:
        self.served = served
        self.connection = connection

    def show(self, world: World) -> None:
        create(self.connection, world)
        call = {"type": "replace_metadata", "version": 1, "args": metadata(world)}
        answer = self.served.post("/v1/metadata", call)
        assert answer.status_code == 200, answer.text

    def ask(self, world: World, role: str, request: Request) -> tuple[int, dict[str, Any]]:
        """Send a request as the role; return the status and the answer with exact numbers."""
        headers = {"x-hasura-admin-secret": harness.SECRET}
        if role != "admin":
            headers["x-hasura-role"] = role
            for name, (kind, value) in world.session.items():
                headers[name.lower()] = sql_text(value, kind) or ""
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        answer = self.served.client.post(
            f"{self.served.url}/v1alpha1/graphql", content=body(request), headers=encoded
        )
        return answer.status_code, exact(answer.text)

    def content(self, world: World) -> dict[str, Any]:
        """Return every row of every table, as Postgres itself shows it."""
        found = {}
        for table in world.tables:
            query = sql.SQL("select coalesce(json_agg(t), '[]')::text from {} as t")
            row = self.connection.execute(query.format(sql.Identifier(table))).fetchone()
            assert row is not None
            found[table] = exact(row[0])
        return found


def content(world: World) -> dict[str, Any]:
    """Return the rows that `Stage.content` has to find."""
    return {
        name: Unordered(
            {column.name: shown(row[column.name], column.kind) for column in table.columns.values()}
            for row in world.rows[name]
        )
        for name, table in world.tables.items()
    }


def exact(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text, parse_int=Number, parse_float=Number)
    return found


def differ(expected: Any, found: Any, path: str = "data") -> str | None:
    """Return where two answers differ, None if they are the same, key order included."""
    if isinstance(expected, AnySpelling):
        same = isinstance(found, Number) and Decimal(found.text) == expected.value
        return None if same else f"{path}: {expected} is not {found}"
    if isinstance(expected, dict) and isinstance(found, dict):
        if list(expected) != list(found):
            return f"{path}: the keys {list(expected)} are not {list(found)}"
        below = (differ(expected[key], found[key], f"{path}.{key}") for key in expected)
        return next((text for text in below if text), None)
    if isinstance(expected, list) and isinstance(found, list):
        return _lists_differ(expected, found, path)
    same = type(expected) is type(found) and expected == found
    return None if same else f"{path}: {expected!r} is not {found!r}"


def _lists_differ(expected: list[Any], found: list[Any], path: str) -> str | None:
    if len(expected) != len(found):
        return f"{path}: {len(expected)} expected, {len(found)} found: {expected} {found}"
    if not isinstance(expected, Unordered):
        pairs = zip(expected, found, strict=True)
        below = (differ(one, other, f"{path}[{at}]") for at, (one, other) in enumerate(pairs))
        return next((text for text in below if text), None)
    left = list(found)
    for item in expected:
        at = next((at for at, other in enumerate(left) if differ(item, other) is None), None)
        if at is None:
            return f"{path}: no {item!r} in {left!r}"
        del left[at]
    return None
