"""Waiting for what happens elsewhere: at the other end, in another thread, in the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

PATIENCE = 60.0
PAUSE_SECONDS = 0.005


def eventually(look: Callable[[], Any]) -> Any:
    """Look again until there is something, and answer it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(PAUSE_SECONDS)
    return found


async def until(look: Callable[[], Any]) -> Any:
    """Do the same while the event loop goes on. What is looked for may be awaited."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = look()
            if isawaitable(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(PAUSE_SECONDS)
