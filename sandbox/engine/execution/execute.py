"""Runs plans: binds, sends, and joins the JSON that Postgres made, without looking into it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import asyncpg

from sandbox.engine.compile.sql import Later
from sandbox.engine.compile.steps import (
    Action,
    Introspection,
    Nested,
    Queued,
    Several,
    Sql,
    Step,
    Text,
)
from sandbox.engine.database import LOST, UNSENT
from sandbox.engine.errors import EngineError, from_postgres
from sandbox.engine.schema import introspection
from sandbox.engine.session import Session
from sandbox.engine.values import to_json

from .actions import Actions
from .leases import Leases
from .output import Output
from .plan import Plan
from .state import State

BROKEN = (asyncpg.PostgresError, *UNSENT, OSError, asyncio.TimeoutError)


class Call:
    """One operation being answered: who asks, with which leaves, from which document."""

    def __init__(
        self, session: Session, leaves: Sequence[Any], text: str, variables: dict[str, Any]
    ) -> None:
        self.session = session
        self.leaves = leaves
        self.text = text
        self.variables = variables
        self.cookies: list[str] = []


class Executor:
    def __init__(self, pool: asyncpg.Pool, actions: Actions) -> None:
        self.leases = Leases(pool)
        self.actions = actions
        self.on_change: Callable[[], None] = lambda: None  # told when a mutation may have committed

    async def close(self) -> None:
        await self.leases.close()

    async def run(self, state: State, plan: Plan, call: Call) -> str:
        """Return the JSON of `data`; raises EngineError for the first failure."""
        try:
            if plan.mutation and plan.together:
                answers = await self._together(plan, call)
            else:
                answers = [await self._step(state, step, call) for step in plan.steps]
        finally:
            if plan.changes:
                self.on_change()
        return plan.joined(answers)

    async def _together(self, plan: Plan, call: Call) -> list[str]:
        """Run database steps as one transaction: a lone statement is one by itself."""
        steps = plan.steps
        if len(steps) == 1 and isinstance(steps[0], Sql) and steps[0].follow is None:
            return [await self._alone(steps[0], call)]
        for last in (False, True):
            async with _Acquired(self.leases) as connection:
                try:
                    await connection.execute("BEGIN READ WRITE")
                except LOST as error:
                    await self._discard(connection)
                    if last:
                        raise from_postgres(error, "$", "BEGIN", []) from error
                else:
                    return await _committed(connection, steps, call)
        raise AssertionError

    async def _discard(self, connection: Any) -> None:
        """Give up a lost connection, and with it all that were opened before it was lost."""
        with suppress(asyncpg.InterfaceError):  # it may have left the pool by itself
            connection.terminate()
        await self.leases.expire()

    async def _step(self, state: State, step: Step, call: Call) -> str:
        if isinstance(step, Text):
            return step.text
        if isinstance(step, Introspection):
            return await self._introspection(state, step, call)
        if isinstance(step, Action):
            return await self._action(step, call)
        if isinstance(step, Queued):
            identifier = await self._alone(step.insert, call)
            self.actions.queued.set()
            return identifier
        if isinstance(step, Sql) and step.follow is None:
            return await self._alone(step, call)
        return (await self._together(Plan((step,), mutation=True, together=True), call))[0]

    async def _introspection(self, state: State, step: Introspection, call: Call) -> str:
        """Describe the schema in a thread, and once only for the same variables."""
        schema = state.schema(call.session.role, backend=call.session.backend)
        for check in step.checks:
            check(call.leaves, call.session)
        given = {name: call.variables[name] for name in step.variables & call.variables.keys()}
        key = schema, step.text, to_json(dict(sorted(given.items())))
        known = state.descriptions.get(key)
        if known is None:
            built = await asyncio.to_thread(state.introspection, schema)
            known = await asyncio.to_thread(introspection.answer, built, step.document, given)
            state.descriptions.keep(key, known)
        return known

    async def _alone(self, step: Sql, call: Call) -> str:
        """Run one statement on its own; a query is tried again when its connection was gone."""
        arguments = [bind(call.leaves, call.session) for bind in step.binds]
        for last in (False, True):
            async with _Acquired(self.leases) as connection:
                try:
                    found = await connection.fetchval(step.sql, *arguments)
                except LOST as error:
                    await self._discard(connection)
                    if last or (step.mutation and not isinstance(error, UNSENT)):
                        raise from_postgres(error, step.path, step.sql, arguments) from error
                except BROKEN as error:
                    raise from_postgres(error, step.path, step.sql, arguments) from error
                else:
                    return step.empty if found is None else str(found)
        raise AssertionError

    async def fetch(self, sql: str, arguments: Sequence[Any]) -> list[Any]:
        """Run a query for its rows; it is tried again when its connection was gone."""
        for last in (False, True):
            async with _Acquired(self.leases) as connection:
                try:
                    return list(await connection.fetch(sql, *arguments))
                except LOST as error:
                    await self._discard(connection)
                    if last:
                        raise from_postgres(error, "$", sql, [*arguments]) from error
                except BROKEN as error:
                    raise from_postgres(error, "$", sql, [*arguments]) from error
        raise AssertionError

    async def _action(self, step: Action, call: Call) -> str:
        found, cookies = await self.actions.call(step, call.session, call.leaves, call.text)
        call.cookies += cookies
        rows = partial(self.rows, call=call)
        return await Output(rows).value(step.output, found)

    async def rows(self, step: Sql, later: dict[str, Any], call: Call) -> str:
        """Run a statement that waits for keys of an action's answer."""
        arguments = _arguments(step, call, later)
        async with _Acquired(self.leases) as connection:
            found = await _send(connection.fetchval(step.sql, *arguments), "$", step.sql, arguments)
        return "null" if found is None else str(found)


class _Acquired:
    """A pooled connection; no connection at all reads as a connection error."""

    def __init__(self, leases: Leases) -> None:
        self.leases = leases
        self.connection: Any = None

    async def __aenter__(self) -> Any:
        try:
            self.connection = await self.leases.take()
        except asyncpg.TooManyConnectionsError as error:
            raise from_postgres(error, "$", "", []) from error
        except BROKEN as error:  # whatever kept it from being opened
            raise EngineError("postgres-error", "connection error", status=500) from error
        return self.connection

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # asyncpg lets Postgres parse a statement before it encodes the arguments. One that it can
        # not encode leaves Postgres waiting in a transaction, with locks: this ends it.
        try:
            if kind is not None and issubclass(kind, Exception):
                with suppress(*BROKEN):  # one that was given up has left the pool by itself
                    if not self.connection.is_closed():
                        await self.connection.execute("SELECT")
        finally:
            await self.leases.give(self.connection, failed=kind is not None)


def _arguments(step: Sql, call: Call, later: dict[str, Any]) -> list[Any]:
    return [
        later.get(bind.name) if isinstance(bind, Later) else bind(call.leaves, call.session)
        for bind in step.binds
    ]


async def _committed(connection: Any, steps: Sequence[Step], call: Call) -> list[str]:
    """Run the steps in the transaction that has begun; any failure rolls all of them back."""
    try:
        answers = [await _inside(connection, step, call) for step in steps]
        await _send(connection.execute("COMMIT"), "$", "COMMIT", [])
    except BaseException:
        with suppress(*BROKEN):  # a connection that is gone has rolled back by itself
            if connection.is_in_transaction():
                await connection.execute("ROLLBACK")
        raise
    return answers


async def _send(waiting: Any, path: str, sql: str, arguments: list[Any]) -> Any:
    try:
        return await waiting
    except BROKEN as error:
        raise from_postgres(error, path, sql, arguments) from error


async def _inside(connection: Any, step: Step, call: Call) -> str:
    """Run one step inside the transaction that is open."""
    if isinstance(step, Text):
        return step.text
    if isinstance(step, Several):
        return "[" + ",".join([await _inside(connection, item, call) for item in step.steps]) + "]"
    if isinstance(step, Nested):
        return await _nested(connection, step, call)
    assert isinstance(step, Sql)  # noqa: S101 -- other steps never share a transaction
    arguments = _arguments(step, call, {})
    if step.follow is None:
        sent = connection.fetchval(step.sql, *arguments)
        found = await _send(sent, step.path, step.sql, arguments)
        return step.empty if found is None else str(found)
    first = await _send(connection.fetchrow(step.sql, *arguments), step.path, step.sql, arguments)
    after = step.follow
    arguments = _arguments(after, call, dict(first.items()))
    found = await _send(connection.fetchval(after.sql, *arguments), "$", after.sql, arguments)
    return after.empty if found is None else str(found)


async def _nested(connection: Any, step: Nested, call: Call) -> str:
    """Insert row after row; the count is of all rows, the answer of the root's."""
    later: dict[str, Any] = {"rows": []}
    count = 0
    for row in step.rows:
        arguments = _arguments(row.sql, call, later)
        sent = connection.fetchrow(row.sql.sql, *arguments)
        found = await _send(sent, row.sql.path, row.sql.sql, arguments)
        if found["_text"] is None and any(
            isinstance(bind, Later) and bind.name.startswith(f"{row.label}.")
            for other in step.rows
            for bind in other.sql.binds
        ):
            raise EngineError(
                "not-supported",
                "cannot proceed to insert array relations since insert to table "
                f'"{row.table}" affects zero rows',
                row.sql.path,
            )
        count += int(found["_count"])
        later |= {f"{row.label}.{name}": value for name, value in found.items()}
        if row.is_root and found["_text"] is not None:
            later["rows"].append(found["_text"])
    later["n0"] = str(count)
    arguments = _arguments(step.answer, call, later)
    sql = step.answer.sql
    found = await _send(connection.fetchval(sql, *arguments), "$", sql, arguments)
    return "null" if found is None else str(found)
