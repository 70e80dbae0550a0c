"""The queues of the database: what waits for its time, since when, and for which cron.

A queue is a partial index on one time column whose name says what is to be done, as
`gateway_events_to_apply on (next_try_at) where status = …`, so a new one is found without being
listed anywhere. Its comment names the crons that look into it: "Queue of check_refunds."

Work that waits for no time of its own is a pile: a partial index on anything, whose comment says
"Pile of charge_orders." Nothing comes of it but that its crons need no call while it is empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

QUEUES = """
select tables.oid::regclass::text as table_name, quote_ident(columns.attname) as due_at,
    pg_get_expr(pg_index.indpred, pg_index.indrelid) as is_open, indexes.relname as name,
    described.about, described.about like 'Pile of %' as is_pile
from pg_index
inner join pg_class as indexes on indexes.oid = pg_index.indexrelid
inner join pg_class as tables on tables.oid = pg_index.indrelid
left join pg_attribute as columns
    on columns.attrelid = tables.oid and columns.attnum = pg_index.indkey[0]
cross join lateral (
    select coalesce(obj_description(indexes.oid, 'pg_class'), '') as about
) as described
where tables.relnamespace = 'public'::regnamespace
    and pg_index.indpred is not null
    and (
        columns.atttypid = 'timestamptz'::regtype and indexes.relname like '%\\_to\\_%'
        or described.about like 'Pile of %'
    )
order by indexes.relname
"""
# Reads as much of the index as it must: what is due, and one row beyond.
LOOK = """
select {place} as place, now.is_due as overdue, now.oldest, later.coming
from (
    select count(*) as is_due, min({due_at}) as oldest
    from {table_name} where ({is_open}) and {due_at} <= clock_now()
) as now, (
    select min({due_at}) as coming from {table_name} where ({is_open}) and {due_at} > clock_now()
) as later
"""
LOOK_AT_PILE = """
select {place} as place, count(*) as overdue, null::timestamptz as oldest,
    null::timestamptz as coming
from (select from {table_name} where {is_open} limit 1) as first
"""
NAMES = re.compile(r"(?:Queue|Pile) of (\w+(?:(?:, | and )\w+)*)\.")


@dataclass(frozen=True, slots=True)
class Due:
    """One queue: how much of it is overdue, since when, and when the next of it will be.

    Of a pile: one is overdue when it is not empty, and none of it is ever late.
    """

    name: str
    table: str
    crons: frozenset[str]  # that look into it; where it names none, any may
    overdue: int
    oldest: datetime | None
    coming: datetime | None
    is_pile: bool = False

    @property
    def is_late(self) -> bool:
        return self.overdue > 0 and not self.is_pile


class Queues:
    """The queues that a database has. They are found once."""

    def __init__(self, database: Any) -> None:
        self.database = database
        self._found: list[Mapping[str, Any]] = []

    async def due(self) -> list[Due]:
        """Look at every queue."""
        if not self._found:
            self._found = await self.database.fetch(QUEUES)
        if not self._found:
            return []
        looks = [
            (LOOK_AT_PILE if queue["is_pile"] else LOOK).format(place=place, **queue)
            for place, queue in enumerate(self._found)
        ]
        rows = await self.database.fetch(f"{' union all '.join(looks)} order by place")
        return [
            Due(
                *(queue["name"], queue["table_name"], crons_of(queue["about"])),
                *(row["overdue"], row["oldest"], row["coming"], queue["is_pile"]),
            )
            for queue, row in zip(self._found, rows, strict=True)
        ]


def crons_of(about: str) -> frozenset[str]:
    """Read from a queue's comment which crons look into it."""
    said = NAMES.match(about)
    return frozenset(re.split(", | and ", said[1])) if said else frozenset()


def may_find(cron: str, queues: list[Due]) -> bool:
    """Tell whether a cron may find work. One that no queue names looks for it elsewhere."""
    its = [queue for queue in queues if cron in queue.crons]
    return not its or any(queue.overdue for queue in queues if queue in its or not queue.crons)
