"""Event and cron triggers, which run beside the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import asyncpg

from .crons import CronTriggers
from .events import EventTriggers


class Trigger(Protocol):
    async def install(self) -> None: ...

    async def run(self) -> None: ...


def triggers(
    pool: asyncpg.Pool, document: dict[str, Any], environ: Mapping[str, str]
) -> list[Trigger]:
    """Return the triggers the metadata asks for; a database without any stays untouched."""
    found: list[Trigger] = []
    tables = (table for source in document["sources"] for table in source.get("tables") or [])
    if any(table.get("event_triggers") for table in tables):
        found.append(EventTriggers(pool, document, environ))
    if document.get("cron_triggers"):
        found.append(CronTriggers(pool, document, environ))
    return found
