"""Triggers that cannot work: they are listed as inconsistent, and nothing is delivered for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sandbox.engine.tracking.tracked import Tracked, TrackedTable, dotted, name_of

from .crons import CronTriggers
from .events import OPERATIONS, EventTriggers

WATCHABLE = ("r", "p", "f")  # tables, partitioned and foreign ones; a view has no rows of its own


def check_triggers(document: dict[str, Any], environ: Mapping[str, str], tracked: Tracked) -> None:
    """List every trigger that has a fault. Those of a table that is not served go with it."""
    problems = EventTriggers(None, document, environ).problems
    seen: set[str] = set()
    for source in document.get("sources") or []:
        for entry in source.get("tables") or []:
            table = tracked.tables.get(name_of(entry["table"]))
            for item in entry.get("event_triggers") or [] if table else []:
                fault = _fault(table, item, problems, seen) if table else None
                if table is not None and fault:
                    label = f"event_trigger {item['name']} in table {dotted(table.name)}"
                    tracked.refuse("event_trigger", label, fault, item)
    _check_crons(document, environ, tracked)


def _fault(
    table: TrackedTable, item: dict[str, Any], problems: Mapping[str, str], seen: set[str]
) -> str | None:
    name = item["name"]
    if name in seen:
        return f'event trigger "{name}" is defined twice in the source'
    seen.add(name)
    if table.table.kind not in WATCHABLE:
        return "only tables can have event triggers"
    missing = (column for column in _columns(item) if column not in table.table.columns)
    return next((f'column "{column}" does not exist' for column in missing), problems.get(name))


def _columns(item: dict[str, Any]) -> Iterator[str]:
    for operation in OPERATIONS:
        spec = (item.get("definition") or {}).get(operation) or {}
        for key in ("columns", "payload"):
            listed = spec.get(key)
            yield from listed if isinstance(listed, list) else ()


def _check_crons(document: dict[str, Any], environ: Mapping[str, str], tracked: Tracked) -> None:
    problems = CronTriggers(None, document, environ).problems
    for item in document.get("cron_triggers") or []:
        fault = problems.get(item["name"])
        if fault:
            tracked.refuse("cron_trigger", f"cron_trigger {item['name']}", fault, item)
