"""The engine itself: a pool, the state of the moment, and how one GraphQL request is answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import asyncpg

from . import database
from .auth import Authenticator
from .documents import requests
from .errors import EngineError
from .execution import state
from .execution.actions import Actions
from .execution.execute import Call, Executor
from .execution.plan import Plan
from .execution.state import State
from .session import ADMIN, Session
from .settings import Settings
from .subscriptions import Subscriptions
from .triggers.async_actions import AsyncActions
from .triggers.background import Background
from .triggers.consistency import check_triggers

LOG = logging.getLogger("engine")


class Planned(NamedTuple):
    """An operation that may be run: as what was served when it came, whatever is served since."""

    state: State
    plan: Plan
    call: Call


class Engine:
    """Opened once by the server's start, closed by its end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.authenticator = Authenticator(settings)
        self.actions = Actions(settings.environ)
        self.pool: asyncpg.Pool = None
        self.state: State
        self.background: Background
        self.asynchronous: AsyncActions | None = None  # as long as nobody listens
        self.listeners: list[Callable[[], None]] = []  # called when the metadata has changed
        self.version = 1  # of the metadata; the API calls it resource_version
        self.changing = asyncio.Lock()  # held by whoever replaces the state
        self._from_directory = True

    async def open(self, *, listening: bool) -> None:
        """Connect, read metadata and catalog; start the triggers when requests will come."""
        document = state.read(self.settings)
        isolation = database.isolation_of(document)
        self.pool = await database.open_pool(self.settings, isolation)
        self.background = Background(self.pool, self.settings.environ)
        self.executor = Executor(self.pool, self.actions)
        self.executor.on_change = self.background.look
        self.subscriptions = Subscriptions(self.executor, self.settings)
        self.state = await self.build(document)
        await self.authenticator.open()
        if listening:
            self.asynchronous = AsyncActions(
                self.pool, self.actions, self.settings.environ, self.shows_internal
            )
            await self.asynchronous.follow(self.state)
            await self.background.start(document)

    async def close(self) -> None:
        if self.asynchronous is not None:
            await self.asynchronous.stop()
        if self.pool is not None:
            await self.background.stop()
            await self.subscriptions.close()
            await self.executor.close()
        await self.authenticator.close()
        await self.actions.close()
        if self.pool is not None:
            try:
                await asyncio.wait_for(self.pool.close(), 5)
            except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                self.pool.terminate()

    async def build(self, document: dict[str, Any], connection: Any = None) -> State:
        """Build what this document would serve, faults listed; nothing is served differently yet.

        A connection shows the database as its open transaction sees it.
        """
        if connection is None:
            built = await state.build(self.pool, document, self.settings)
        else:
            built = await state.build_on(connection, document, self.settings)
        check_triggers(document, self.settings.environ, built.tracked)
        return built

    async def adopt(self, built: State) -> None:
        """Serve this state from now on. Changed metadata lives until the process ends."""
        changed = built.document is not self.state.document
        if changed:
            await self.background.follow(built.document)
            self.version += 1
            self._from_directory = False
        if self.asynchronous is not None:
            await self.asynchronous.follow(built)
        self.state = built
        if changed:
            self._tell()

    def _tell(self) -> None:
        for listener in self.listeners:
            listener()

    async def reload(
        self, document: dict[str, Any] | None = None, *, triggers: bool = False
    ) -> None:
        """Read the catalog again, under this document or the one that is served.

        The directory is read again, too, unless it is no longer what is served.
        """
        if document is not None:
            self._from_directory = False
        elif self._from_directory:
            document = state.read(self.settings)
        else:
            document = self.state.document
        built = await self.build(document)
        await self.background.follow(document, anew=triggers)
        await self.background.reinstall()
        if self.asynchronous is not None:
            await self.asynchronous.follow(built)
        self.state = built
        self._tell()

    def shows_internal(self, session: Session | None) -> bool:
        if self.settings.dev_mode:
            return True
        admin = session is not None and session.role == ADMIN
        return admin and self.settings.admin_internal_errors

    def planned(self, request: requests.Request, session: Session) -> Planned:
        """Check a request against the state of the moment; nothing is executed yet."""
        current = self.state
        schema = current.schema(session.role, backend=session.backend)
        plan, leaves = current.plans.get(
            schema, request.query, request.operation_name, request.variables
        )
        return Planned(current, plan, Call(session, leaves, request.query, request.variables))

    async def answer(self, request: requests.Request, session: Session) -> tuple[str, list[str]]:
        """Return the JSON of `data` and the cookies that action handlers set."""
        state, plan, call = self.planned(request, session)
        if plan.subscription:
            text = "subscriptions are not supported over HTTP, use websockets instead"
            raise EngineError("unexpected-payload", text)
        return await self.executor.run(state, plan, call), call.cookies

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
