"""What one client runs over its WebSocket: who it is, its queries one by one, its subscriptions."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import replace

from sandbox.engine.engine import Engine, Planned
from sandbox.engine.errors import EngineError
from sandbox.engine.session import Session
from sandbox.engine.subscriptions import Answer

from .messages import Init, Message, Ping, Start, Stop, Terminate
from .protocol import Protocol

LOG = logging.getLogger("engine")
OPERATIONS_BODIES = 4  # requests of the largest size that may run on one connection


class Operation:
    """One operation, which hears of its answers while it is a subscription."""

    __slots__ = ("head", "id", "operations", "size")

    def __init__(self, operations: Operations, identifier: str, size: int) -> None:
        self.operations = operations
        self.id = identifier
        self.size = size
        self.head = operations.protocol.head(operations.protocol.data, identifier)

    def answered(self, answer: Answer) -> None:
        self.operations.protocol.link.send(answer.framed(self.head))

    def failed(self, error: EngineError) -> None:
        self.operations.protocol.troubled(self.id, error)

    def refused(self, error: EngineError) -> None:
        self.operations.stop(self.id)
        self.operations.protocol.refused(self.id, error)


class Operations:
    """`headers` are those of the upgrade; those of connection_init come before them."""

    def __init__(self, engine: Engine, protocol: Protocol, headers: dict[str, str]) -> None:
        self.engine = engine
        self.protocol = protocol
        self.headers = headers
        self.session: Session | None = None
        self.running: dict[str, Operation] = {}
        self._size = 0  # of all that run
        self._waiting: OrderedDict[Operation, Start] = OrderedDict()
        self._has_waiting = asyncio.Event()

    async def take(self, message: Message) -> None:
        """Do what the client says, or put it in line."""
        if isinstance(message, Init):
            await self._init(message)
        elif isinstance(message, Start):
            self._start(message)
        elif isinstance(message, Stop):
            self.stop(message.id)
        elif isinstance(message, Ping):
            self.protocol.pong(message.payload)
        elif isinstance(message, Terminate):
            self.protocol.link.close(1000, "GQL_CONNECTION_TERMINATE received")

    async def _init(self, message: Init) -> None:
        if self.session is not None and self.protocol.initialised_twice():
            return
        try:
            session = await self.engine.authenticator.session(self.headers | message.headers)
        except EngineError as error:
            self.protocol.not_admitted(error.message)
            return
        self.session = replace(session, headers=message.headers)
        self.protocol.acknowledge()

    def _start(self, message: Start) -> None:
        if message.id in self.running:
            self.protocol.already_running(message.id)
        elif self.session is None:
            self.protocol.not_initialised(message.id)
        elif not self._has_room(message):
            error = EngineError("start-failed", "too many operations on this connection")
            self.protocol.refused(message.id, error)
        else:
            operation = Operation(self, message.id, message.size)
            self.running[message.id] = operation
            self._size += operation.size
            self._waiting[operation] = message
            self._has_waiting.set()

    def _has_room(self, message: Start) -> bool:
        """Tell whether one more may run: their number is bounded, and what they hold together."""
        settings = self.engine.settings
        size_max = OPERATIONS_BODIES * settings.body_limit
        return (
            len(self.running) < settings.sockets.most_operations
            and self._size + message.size <= size_max
        )

    def stop(self, identifier: str) -> None:
        operation = self.running.pop(identifier, None)
        if operation is not None:
            self._size -= operation.size
            self._waiting.pop(operation, None)
            self.engine.subscriptions.remove(operation)

    def stop_all(self) -> None:
        for identifier in list(self.running):
            self.stop(identifier)

    async def work(self) -> None:
        """Run what was put in line, one after the other as Hasura does."""
        while True:
            self._has_waiting.clear()
            while self._waiting:
                await self._run(*self._waiting.popitem(last=False))
            await self._has_waiting.wait()

    def _runs(self, operation: Operation) -> bool:
        return self.running.get(operation.id) is operation

    async def _run(self, operation: Operation, message: Start) -> None:
        assert self.session is not None  # noqa: S101 -- nothing is put in line before that
        try:
            planned = self.engine.planned(message.request, self.session)
            if planned.plan.subscription:
                self._watch(operation, planned)
                return
        except Exception as error:  # noqa: BLE001 -- told to the client in every case
            operation.refused(_told(error))
            return
        await self._answer(operation, planned)

    def _watch(self, operation: Operation, planned: Planned) -> None:
        if not self.engine.subscriptions.add(*planned, operation):
            self.stop(operation.id)
            self.protocol.complete(operation.id)

    async def _answer(self, operation: Operation, planned: Planned) -> None:
        """Execute a query or a mutation; whoever has stopped it hears nothing."""
        data, failure = "", None
        try:
            data = await self.engine.executor.run(*planned)
        except Exception as error:  # noqa: BLE001 -- told to the client in every case
            failure = _told(error)
        if not self._runs(operation):
            return
        self.stop(operation.id)
        if failure is None:
            self.protocol.answer(operation.id, data)
        else:
            self.protocol.failed(operation.id, failure)
        self.protocol.complete(operation.id)


def _told(error: Exception) -> EngineError:
    """Return what a client may know; what is not an EngineError is a fault of the engine."""
    if isinstance(error, EngineError):
        return error
    LOG.error("an operation failed", exc_info=error)
    return EngineError("unexpected", "internal error", status=500)
