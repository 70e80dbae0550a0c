"""The engine itself: a pool, the state of the moment, and how one GraphQL request is answered."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

import asyncpg

from . import database
from .auth import Authenticator
from .documents import requests
from .errors import EngineError
from .execution import state
from .execution.actions import Actions
from .execution.execute import Call, Executor
from .execution.state import State
from .session import ADMIN, Session
from .settings import Settings
from .triggers.background import triggers

LOG = logging.getLogger("engine")


class Engine:
    """Opened once by the server's start, closed by its end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.authenticator = Authenticator(settings)
        self.actions = Actions(settings.environ)
        self.pool: asyncpg.Pool = None
        self.state: State
        self.tasks: list[asyncio.Task[None]] = []
        self._reloading = asyncio.Lock()

    async def open(self, *, listening: bool) -> None:
        """Connect, read metadata and catalog; start the triggers when requests will come."""
        document = state.read(self.settings)
        isolation = database.isolation_of(document)
        self.pool = await database.open_pool(self.settings, isolation)
        self.state = await state.build(self.pool, document, self.settings)
        self.executor = Executor(self.pool, self.actions)
        if listening:
            await self._start_triggers()

    async def close(self) -> None:
        await self._stop_triggers()
        await self.actions.close()
        if self.pool is not None:
            try:
                await asyncio.wait_for(self.pool.close(), 5)
            except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                self.pool.terminate()

    async def _start_triggers(self) -> None:
        for trigger in await triggers(self.pool, self.state.document, self.settings.environ):
            await trigger.install()
            self.tasks.append(asyncio.create_task(trigger.run()))

    async def _stop_triggers(self) -> None:
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with suppress(asyncio.CancelledError, Exception):
                await task
        self.tasks.clear()

    async def reload(self, document: dict[str, Any] | None = None) -> None:
        """Read the metadata (unless it is given) and the catalog again, then swap them in."""
        async with self._reloading:
            given = document is not None
            document = document or state.read(self.settings)
            self.state = await state.build(self.pool, document, self.settings)
            if not given:
                await self._stop_triggers()
                await self._start_triggers()

    async def refresh(self) -> None:
        """Read the catalog again under the same metadata, after SQL has changed the schema."""
        await self.reload(self.state.document)

    def shows_internal(self, session: Session | None) -> bool:
        if self.settings.dev_mode:
            return True
        admin = session is not None and session.role == ADMIN
        return admin and self.settings.admin_internal_errors

    async def answer(self, request: requests.Request, session: Session) -> tuple[str, list[str]]:
        """Return the JSON of `data` and the cookies that action handlers set."""
        current = self.state
        schema = current.schema(session.role, backend=session.backend)
        plan, leaves = current.plans.get(
            schema, request.query, request.operation_name, request.variables
        )
        call = Call(session, leaves, request.query, request.variables)
        return await self.executor.run(current, plan, call), call.cookies

    async def answer_guarded(
        self, request: requests.Request, session: Session
    ) -> tuple[str, list[str]]:
        """Answer; whatever is not an EngineError is a fault of the engine and says nothing."""
        try:
            return await self.answer(request, session)
        except EngineError:
            raise
        except Exception as error:
            LOG.exception("a request failed")
            raise EngineError("unexpected", "internal error", status=500) from error
