"""Subscriptions: watched queries and streams, read again on a beat, many watchers at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable
from typing import Any

from sandbox.engine.compile.steps import Sql, Stream, Text
from sandbox.engine.execution.execute import Call, Executor
from sandbox.engine.execution.plan import Plan
from sandbox.engine.execution.state import State
from sandbox.engine.settings import Settings

from .cohorts import Answer, Subscriber
from .multiplex import Alone, Multiplexed, arguments_of
from .poller import LivePoller, Poller, StreamPoller

LOG = logging.getLogger("engine")

__all__ = ["Answer", "Subscriber", "Subscriptions"]


class Subscriptions:
    """One poller a statement: it ends when nobody listens to it any more."""

    def __init__(self, executor: Executor, settings: Settings) -> None:
        self.executor = executor
        self.settings = settings
        self.pollers: dict[Hashable, Poller] = {}
        self.keys: dict[Subscriber, Hashable] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    def add(self, state: State, plan: Plan, call: Call, subscriber: Subscriber) -> bool:
        """Start to watch; False when the answer never changes and there is nothing to watch.

        Raises EngineError when the values cannot be bound.
        """
        step = plan.steps[0]
        if isinstance(step, Text):
            return False
        key: Hashable
        if isinstance(step, (Sql, Stream)):
            arguments = arguments_of(step, call)
            key = (step.sql, step.key, plan.spaces)
        else:
            arguments, key = (), object()
        poller = self.pollers.get(key)
        if poller is None:
            poller = self._poller(plan, Alone(self.executor, state, plan, call))
            self.pollers[key] = poller
        self.keys[subscriber] = key
        poller.add(arguments, subscriber)
        if poller.task is None:
            self._start(poller)
        return True

    def _poller(self, plan: Plan, alone: Alone) -> Poller:
        step = plan.steps[0]
        if isinstance(step, Stream):
            source = Multiplexed(self.executor, plan, step)
            return StreamPoller(source, self.settings.streaming, step)
        if isinstance(step, Sql):
            return LivePoller(Multiplexed(self.executor, plan, step), self.settings.live)
        return LivePoller(alone, self.settings.live)

    def _start(self, poller: Poller) -> None:
        poller.task = asyncio.create_task(poller.run())
        self.tasks.add(poller.task)
        poller.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            LOG.error("a subscription's poller failed", exc_info=task.exception())

    def remove(self, subscriber: Subscriber) -> None:
        key = self.keys.pop(subscriber, None)
        poller = self.pollers.get(key)
        if poller is None:
            return
        poller.remove(subscriber)
        if not poller.cohorts:
            del self.pollers[key]

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.pollers.clear()
        self.keys.clear()
