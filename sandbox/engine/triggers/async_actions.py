"""Asynchronous actions: makes the calls that are in the log, each at least once."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

import asyncpg

from sandbox.engine.errors import EngineError
from sandbox.engine.execution.actions import TIMEOUT_SECONDS, Actions, HandlerCall
from sandbox.engine.execution.state import State
from sandbox.engine.schema.action_log import QueuedRoot
from sandbox.engine.session import ADMIN, Session
from sandbox.engine.values import to_json

from .action_log import CLAIM, COMPLETE, FAIL, INSTALL_LOCK, RELEASE, TABLE
from .delivery import DATABASE_FAULTS, setting

logger = logging.getLogger(__name__)

BATCH_MAX = 10  # calls at the same time
PAUSE_SECONDS = 1.0  # between two looks at the log that nobody rings for
GRACE_SECONDS = 60.0  # what calls on their way get when the engine stops
SETTLE_SECONDS_MAX = 10.0
# An engine that is alive has the answer, or has given up, long before.
LOCK_VARIABLE = "HASURA_GRAPHQL_ASYNC_ACTIONS_LOCK_SECONDS"
LOCK_SECONDS = 120.0
LOCK_MARGIN_SECONDS = 30.0  # at least, beyond the longest time that a handler may take
UNSTORABLE = EngineError("unexpected", "the answer cannot be stored", status=500)


class AsyncActions:
    """The processor. It sleeps as long as the metadata has no asynchronous action."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        actions: Actions,
        environ: Mapping[str, str],
        shows_internal: Callable[[Session], bool],
    ) -> None:
        self.pool = pool
        self.actions = actions
        self.shows_internal = shows_internal
        self.lock_s = setting(environ, LOCK_VARIABLE, LOCK_SECONDS)
        self._state: State | None = None
        self._installed = False
        self._task: asyncio.Task[None] | None = None
        self._flying: set[asyncio.Task[None]] = set()

    async def follow(self, state: State) -> None:
        """Make calls of this state's actions from now on; the log is there before they come."""
        if state.actions.asynchronous and not self._installed:
            await self._install()
        self._state = state
        if state.actions.asynchronous and self._task is None:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Take no more calls, wait for those on their way, and give back what is left."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self._flying:
            await asyncio.wait(self._flying, timeout=GRACE_SECONDS)
        for task in list(self._flying):
            task.cancel()
        if self._flying:
            await asyncio.wait(self._flying, timeout=SETTLE_SECONDS_MAX)

    async def _install(self) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute("set local client_min_messages = warning")
            await connection.execute("select pg_advisory_xact_lock($1)", INSTALL_LOCK)
            await connection.execute(TABLE)
        self._installed = True

    async def _run(self) -> None:
        while True:
            # Rung before the look: what is written down during it is found by the next one.
            self.actions.queued.clear()
            try:
                taken = await self._take()
            except DATABASE_FAULTS as error:
                logger.warning("asynchronous actions wait for the database: %s", error)
                taken = 0
                await asyncio.sleep(PAUSE_SECONDS)
            except Exception:
                # Calls that cannot be read stay taken for a while; all others are still made.
                logger.exception("some asynchronous actions could not be read")
                taken = 0
                await asyncio.sleep(PAUSE_SECONDS)
            if len(self._flying) >= BATCH_MAX:
                await asyncio.wait(self._flying, return_when=asyncio.FIRST_COMPLETED)
            elif not taken:
                with suppress(TimeoutError):
                    async with asyncio.timeout(PAUSE_SECONDS):
                        await self.actions.queued.wait()

    async def _take(self) -> int:
        """Take calls from the log and make them; returns how many."""
        state = self._state
        names = sorted(state.actions.asynchronous) if state else []
        if state is None or not names:
            return 0
        free = BATCH_MAX - len(self._flying)
        claiming = asyncio.ensure_future(
            self.pool.fetch(CLAIM, free, self._lock_seconds(state), names)
        )
        try:
            rows = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            # They may be taken already, and nobody else would see them for a long time.
            with suppress(*DATABASE_FAULTS):
                for row in await claiming:
                    await self._settle(RELEASE, row["id"])
            raise
        for row in rows:
            task = asyncio.create_task(self._make(state, row))
            self._flying.add(task)
            task.add_done_callback(self._flying.discard)
        return len(rows)

    def _lock_seconds(self, state: State) -> float:
        longest = max(
            float(item["definition"].get("timeout") or TIMEOUT_SECONDS)
            for item in state.actions.actions
        )
        return max(self.lock_s, longest + LOCK_MARGIN_SECONDS)

    async def _make(self, state: State, row: Any) -> None:
        """Make one call and record what came of it."""
        variables = json.loads(row["variables"])
        session = Session(variables.get("x-hasura-role", ADMIN), variables)
        try:
            answer, _ = await self.actions.ask(_call(state, row, variables))
        except EngineError as error:
            await self._fail(row["id"], error, session)
        except asyncio.CancelledError:
            with suppress(*DATABASE_FAULTS):
                await self._settle(RELEASE, row["id"])
            raise
        except Exception as error:
            logger.exception("an asynchronous action failed")
            fault = EngineError("unexpected", "internal error", status=500)
            fault.__cause__ = error
            await self._fail(row["id"], fault, session)
        else:
            try:
                await self._record(COMPLETE, row["id"], to_json(answer))
            except asyncpg.DataError:
                await self._fail(row["id"], UNSTORABLE, session)

    async def _fail(self, identifier: str, error: EngineError, session: Session) -> None:
        told = error.as_plain(internal=self.shows_internal(session))
        try:
            await self._record(FAIL, identifier, to_json(told))
        except asyncpg.DataError:
            await self._record(FAIL, identifier, to_json(UNSTORABLE.as_plain(internal=False)))

    async def _record(self, sql: str, identifier: str, text: str) -> None:
        """Write the outcome, as often as the database needs: the handler is not asked again."""
        while True:
            try:
                await self._settle(sql, identifier, text)
            except asyncpg.DataError:
                raise
            except DATABASE_FAULTS as error:
                logger.warning("the outcome of an action waits for the database: %s", error)
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return

    async def _settle(self, sql: str, *arguments: str) -> None:
        await self.pool.execute(sql, *arguments)


def _call(state: State, row: Any, variables: dict[str, str]) -> HandlerCall:
    """Shape the call of a row; the type of its answer is the one that is served now."""
    mutation = state.schema(ADMIN).mutation
    field = mutation.fields.get(row["action_name"]) if mutation else None
    if field is None or not isinstance(field.source, QueuedRoot):
        raise EngineError("unexpected", f"action {row['action_name']} is gone", status=500)
    given = json.loads(row["input"], parse_float=Decimal)
    return HandlerCall(field.source.action, given, variables, json.loads(row["headers"]))
