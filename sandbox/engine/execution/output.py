"""An action's answer, cut to what was selected, with related rows read by SQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sandbox.engine.compile.steps import Sql
from sandbox.engine.values import to_json


class Output:
    """An action's answer; `rows` runs a statement that waits for the answer's keys."""

    def __init__(self, rows: Callable[[Sql, dict[str, Any]], Awaitable[str]]) -> None:
        self.rows = rows

    async def value(self, fields: tuple[Any, ...], found: Any) -> str:
        if found is None or not fields:
            return to_json(found)
        if isinstance(found, list):
            return "[" + ",".join([await self.value(fields, item) for item in found]) + "]"
        parts = [f'"{item.key}":{await self._field(item, found)}' for item in fields]
        return "{" + ",".join(parts) + "}"

    async def _field(self, item: Any, found: dict[str, Any]) -> str:
        if item.text is not None:
            return str(item.text)
        if item.sql is not None:
            later = {name: _key(value) for name, value in found.items()}
            return await self.rows(item.sql, later)
        return await self.value(item.below, found.get(item.name))


def _key(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else to_json(value)
