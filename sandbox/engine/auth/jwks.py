"""Keys that are published at an address, kept fresh in the background: no request waits for them.

As in Hasura, a set whose lifetime is over, or that has told none, is fetched again every second; a
fetch that fails leaves the keys as they were.
"""

from __future__ import annotations

import asyncio
import logging
import time

from . import keys, lifetimes
from .fetching import FetchError, Fetching

LOG = logging.getLogger("engine")
PAUSE_SECONDS = 1.0
TIMEOUT_SECONDS = 10.0


class KeySet:
    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: tuple[keys.Key, ...] = ()
        self.expires_at: float | None = None
        self.fetched = asyncio.Event()  # once, whether there were keys or not
        self._fault = ""

    async def keep_fresh(self, fetching: Fetching) -> None:
        while True:
            if self.expires_at is None or time.time() >= self.expires_at:
                await self.refresh(fetching)
            await asyncio.sleep(PAUSE_SECONDS)

    async def refresh(self, fetching: Fetching) -> None:
        """Fetch once; a fault is told once, however often it comes again."""
        try:
            await self._fetch(fetching)
        except (FetchError, ValueError) as error:
            fault = f"no keys from {self.url}: {error}"
            if fault != self._fault:
                LOG.warning(fault)
            self._fault = fault
        else:
            self._fault = ""
        self.fetched.set()

    async def _fetch(self, fetching: Fetching) -> None:
        reply = await fetching.ask(self.url, {}, None, TIMEOUT_SECONDS)
        if not 200 <= reply.status < 300:
            raise FetchError(f"status {reply.status}")
        self.keys = keys.key_set(reply.body)
        found = lifetimes.of_keys(reply.headers, time.time())
        if found is not None:
            self.expires_at = found
